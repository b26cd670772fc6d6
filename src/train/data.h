// SPDX-License-Identifier: Apache-2.0
// The data of a run: token files, or pictures where the model is one of values.
#pragma once

#include <memory>
#include <vector>

#include "comm/communicator.h"
#include "config/config.h"
#include "data/source.h"

namespace tl {

// Refuses files that cannot be of one training. Collective.
absl::Status CheckOneKind(const Config& config, const std::vector<WeightedPath>& paths,
                          Communicator& world);
// Opens an endless, shuffled source for training. Collective.
absl::StatusOr<std::unique_ptr<DataSource>> OpenTrainingData(const Config& config,
                                                             Communicator& world);
// Opens files one after the other, every sample once. Bytes of pictures are the middle of their
// cell, whatever [data] dequantize says, so that a bound is on the bytes themselves. Collective.
absl::StatusOr<std::unique_ptr<DataSource>> OpenHeldOutData(const Config& config,
                                                            const std::vector<WeightedPath>& paths,
                                                            Communicator& world);

}  // namespace tl
