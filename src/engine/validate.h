// SPDX-License-Identifier: Apache-2.0
// Whether a run can be trained by this build on these ranks.
#pragma once

#include "absl/status/status.h"
#include "config/config.h"

namespace tl {

// Checks what the keys of a run must satisfy together: the rules of each section, of the grid and
// of the objective, and that everything asked for exists here. Messages name keys, values and what
// would fit.
absl::Status Validate(const Config& config, int ranks);

}  // namespace tl
