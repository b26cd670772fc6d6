// SPDX-License-Identifier: Apache-2.0
// What `trunkline calibrate` and `trunkline generate --report --json` found about a run's heads.
#pragma once

#include <string>

#include "absl/types/span.h"
#include "report/run.h"

namespace tl {

// Empty where no run has either.
std::string DecodingHtml(absl::Span<const Run> runs);

}  // namespace tl
