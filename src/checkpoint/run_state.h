// Saves of a run: whole tensors under their global names, so that any grid can load them.
//   <run>/step_00000100/weights.safetensors     fp32 master weights
//                       optimizer.safetensors   "<tensor>.state0", ".state1": Adam's m and v
//                       state.json              where training stands
// A save is written as step_00000100.tmp and renamed when complete.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "comm/communicator.h"
#include "optim/loss_scaler.h"
#include "optim/optimizer.h"

namespace tl {

// Where training stands: with the weights and the optimizer's state, all that resuming needs. The
// position in the data and every random number follow from the step.
struct RunState {
  int64_t step = 0;     // steps done
  int64_t updates = 0;  // of them not skipped
  int64_t skipped = 0;
  LossScaler scaler;
};

// Collective over the world of the mesh. The oldest saves beyond `keep` are removed.
absl::Status SaveRun(const std::string& run_dir, Mesh& mesh, Stream& stream,
                     const ParamTable& table, const ShardedState& state, const RunState& run,
                     int keep = 2);

// The newest complete save in a run folder, or an error that says where it looked.
absl::StatusOr<std::string> NewestSave(const std::string& run_dir);

// save: a folder that SaveRun made. Settings of run->scaler are kept, its state is replaced.
absl::Status LoadRunState(const std::string& save, RunState* run);
absl::Status LoadOptimizer(const std::string& save, const ParamTable& table, ShardedState& state);
// where: a save, a run folder (its newest save is taken) or a .safetensors file. Calls set(id,
// values) with every local parameter as fp32.
absl::Status LoadWeights(const std::string& where, const ParamTable& table,
                         const std::function<void(ParamId, const float*)>& set);

}  // namespace tl
