// SPDX-License-Identifier: Apache-2.0
// The data of a run: token files, or pictures where the model is one of values.
#pragma once

#include <cstdint>
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
// What a byte of a held-out picture becomes, whatever [data] dequantize says: the middle of its cell,
// so that a bound is on the bytes themselves, or a place in it by sample number, the same for every
// training, so that a density is one on them.
enum class HeldOutBytes : uint8_t { kMiddles, kPlaces };
// Opens files one after the other, every sample once. Collective.
absl::StatusOr<std::unique_ptr<DataSource>> OpenHeldOutData(
    const Config& config, const std::vector<WeightedPath>& paths, Communicator& world,
    HeldOutBytes bytes = HeldOutBytes::kMiddles);
// Warns where [objective] sigma_data, which scales input and output of the network, is far from what
// the samples have.
void WarnOfScale(const Config& config, const DataSource& train);
// The first so many samples of values.
std::unique_ptr<DataSource> FirstSamples(std::unique_ptr<DataSource> source, int64_t count);

}  // namespace tl
