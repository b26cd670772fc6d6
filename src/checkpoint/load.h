// SPDX-License-Identifier: Apache-2.0
// From checkpoints into a model on any grid, in any precision.
#pragma once

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "checkpoint/reader.h"
#include "comm/communicator.h"
#include "nn/params.h"
#include "optim/sharded_state.h"

namespace tl {

// Opens checkpoints from the newest to the oldest, unhealthy ones (health.h) last, until load
// succeeds on all ranks with one, whose path is returned; says which were passed over and why. One
// of another content on another rank ends the search with an error (FailedPrecondition).
// where: a checkpoint, which is taken whether it is healthy or not, or a folder of them. A
// checkpoint of another model (FailedPrecondition) ends the search. load reads what this rank
// needs, and may be called again after it failed halfway. Collective.
absl::StatusOr<std::string> LoadNewest(const std::string& where, Communicator& world,
                                       const std::function<absl::Status(CheckpointReader&)>& load);

// Every local parameter as fp32, padding zero, by set(id, values).
using SetParam = std::function<void(ParamId, const float*)>;
// kMayBeOptional: an optional parameter that is not there takes the values of what it is a copy of;
// one that is no copy is not set.
enum class MissingWeights : uint8_t { kError, kMayBeOptional };
// Which values of a weight: those that training goes on from, or their average ([optimizer] ema).
// Frozen ones have no average: they are their own.
enum class WhichWeights : uint8_t {
  kTrained,
  kAveraged,
  kAveragedIfThere,  // the trained ones where no average was kept
};
// The error of a place without an average.
absl::Status NoAverage(const std::string& path);
// Tells whether the average is to be read. Refuses (FailedPrecondition) to read one that a
// checkpoint does not hold.
absl::StatusOr<bool> ReadsAverage(const CheckpointReader& reader, WhichWeights which);
absl::Status ReadWeights(CheckpointReader& reader, const ParamTable& table, const SetParam& set,
                         MissingWeights missing = MissingWeights::kError,
                         WhichWeights which = WhichWeights::kTrained);
// Refuses (FailedPrecondition) a checkpoint with weights that the model has not: it is of another
// one, also where all that this one needs is in it.
absl::Status CheckNoOtherWeights(const CheckpointReader& reader, const ParamTable& table);
// Reads this rank's part of the optimizer's state. An average of weights that no tensor of the
// checkpoint has stays as it is.
absl::Status ReadOptimizer(CheckpointReader& reader, const ParamTable& table, ShardedState& state);

// Names FOLDER/weights.safetensors, which `trunkline import` writes, where the folder holds no
// checkpoint; else empty.
std::string ImportedWeights(const std::string& folder);

// Reads weights alone, from a checkpoint, a folder of them, an imported one or a .safetensors file,
// of which the last two hold no average. Returns which were taken, kTrained or kAveraged.
// Collective.
absl::StatusOr<WhichWeights> LoadWeights(const std::string& where, Communicator& world,
                                         const ParamTable& table, const SetParam& set,
                                         WhichWeights which,
                                         MissingWeights missing = MissingWeights::kError);

}  // namespace tl
