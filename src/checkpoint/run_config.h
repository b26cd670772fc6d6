// SPDX-License-Identifier: Apache-2.0
// The config of a run folder.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "config/config.h"

namespace tl {

// The run folder's resolved config (DIR/config.toml). Where DIR is one checkpoint, or a folder of
// them without a config.toml, it is that of the checkpoint, whose weights are then the run's. An
// error says so where DIR is none of these.
absl::StatusOr<Config> LoadRunConfig(const std::string& dir,
                                     absl::Span<const std::string> overrides = {});

}  // namespace tl
