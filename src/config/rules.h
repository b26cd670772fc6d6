// SPDX-License-Identifier: Apache-2.0
// What the keys of a run must satisfy together. The ranges of single keys are the parser's.
// Messages name keys, values and what would fit.
#pragma once

#include "absl/status/status.h"
#include "config/config.h"

namespace tl {

// The grid divides the ranks, and heads, ffn and the sequence divide over it.
absl::Status ValidateGrid(const Config& config, int ranks);
// What samples of values, of a [model] with a shape, ask of the other sections.
absl::Status ValidateValues(const Config& config);
// Batches divide over the data ranks.
absl::Status ValidateBatch(const Config& config, int ranks);
absl::Status ValidateSchedule(const Config& config);
absl::Status ValidatePrecision(const PrecisionConfig& precision);

}  // namespace tl
