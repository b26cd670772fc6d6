// What a run's model and objective cost together.
#pragma once

#include <cstdint>

#include "engine/config.h"

namespace tl {

// Parameters of trunk and heads, each counted once.
int64_t ParameterCount(const Config& config);
// Of matrix products per token of a training step, with all heads on: three times a forward pass,
// less what is frozen.
double TrainFlopsPerToken(const Config& config);

}  // namespace tl
