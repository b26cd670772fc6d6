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
absl::Status ReadWeights(CheckpointReader& reader, const ParamTable& table, const SetParam& set,
                         MissingWeights missing = MissingWeights::kError);
// Refuses (FailedPrecondition) a checkpoint with weights that the model has not: it is of another
// one, also where all that this one needs is in it.
absl::Status CheckNoOtherWeights(const CheckpointReader& reader, const ParamTable& table);
// Reads this rank's part of the optimizer's state.
absl::Status ReadOptimizer(CheckpointReader& reader, const ParamTable& table, ShardedState& state);

// Names FOLDER/weights.safetensors, which `trunkline import` writes, where the folder holds no
// checkpoint; else empty.
std::string ImportedWeights(const std::string& folder);

// Weights alone, from a checkpoint, a folder of them, an imported one or a .safetensors file.
// Collective.
absl::Status LoadWeights(const std::string& where, Communicator& world, const ParamTable& table,
                         const SetParam& set, MissingWeights missing = MissingWeights::kError);

}  // namespace tl
