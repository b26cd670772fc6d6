// SPDX-License-Identifier: Apache-2.0
// From a run's config to the model it describes.
#pragma once

#include "config/config.h"
#include "engine/model.h"

namespace tl {

DType ComputeType(Precision precision);
// For training; other uses change batch, length or purpose.
ModelOptions MakeModelOptions(const Config& config, DeviceType device);

}  // namespace tl
