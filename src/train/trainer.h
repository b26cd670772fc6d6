// SPDX-License-Identifier: Apache-2.0
// Training: from a config to a trained model in the run folder.
#pragma once

#include "absl/status/status.h"
#include "comm/communicator.h"
#include "config/config.h"

namespace tl {

// Trains [model] on [data] over the grid that [parallel] and the world give, and writes metrics,
// saves and the resolved config.toml into [run] dir. Rank 0 prints. The
// config has passed Validate. Stopped early by a signal or [checkpoint] time_limit, it saves and
// returns EndWith() (base/exit_code.h) that reason's exit code; one that ends unhealthy
// (train/health.h) returns EndWith(kExitFinding). Collective.
absl::Status Train(const Config& config, Communicator& world);

}  // namespace tl
