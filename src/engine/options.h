// From a run's config to the engine it describes.
#pragma once

#include "engine/config.h"
#include "engine/engine.h"

namespace tl {

DType ComputeType(Precision precision);
// For training; other uses change batch, length or purpose.
EngineOptions MakeEngineOptions(const Config& config);

}  // namespace tl
