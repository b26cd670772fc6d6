// SPDX-License-Identifier: Apache-2.0
// One optimizer step over a global batch: forward and backward passes of its micro-batches,
// gradients made one over the grid, clipping, update. The training loop, benchmarks and tests share
// it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "checkpoint/checkpointer.h"
#include "checkpoint/load.h"
#include "config/config.h"
#include "data/source.h"
#include "engine/engine.h"
#include "optim/optimizer.h"
#include "optim/schedule.h"
#include "train/evaluate.h"
#include "train/progress.h"
#include "train/read_ahead.h"

namespace tl {

struct StepResult {
  // Means over the global batch's unmasked targets, added up by the weights of the heads; of next
  // token prediction, its mean. NaN where no target counted.
  float loss = 0.0f;
  bool counted = true;            // some target did
  std::vector<HeadResult> heads;  // the main head first
  double lr = 0.0;
  double grad_norm = 0.0;   // before clipping; NaN where gradients are not finite
  double loss_scale = 1.0;  // that the step used
  bool skipped = false;
  int64_t targets = 0;  // of the main head: unmasked, of the global batch
};

class Stepper {
 public:
  // Plans; allocates nothing. The config has passed Validate; the mesh outlives the stepper.
  static absl::StatusOr<std::unique_ptr<Stepper>> Create(const Config& config, Mesh& mesh);

  std::vector<MemoryRow> MemoryPlan() const;
  // In host memory, and in the plan of a CPU: of a step, and of the next one.
  MemoryRow Batches() const;
  // Of host memory, with OpenCheckpoints.
  int64_t CheckpointBytes(bool async) const;
  void Allocate();
  // One of these before the first step.
  void Initialize() { state_->Initialize(static_cast<uint64_t>(config_.train.seed)); }
  // Those that it has, and their average where it keeps one; heads that it lacks start from the
  // seed, or from what they copy. Returns which were taken.
  absl::StatusOr<WhichWeights> StartFrom(const std::string& weights);
  // where: a checkpoint, or a folder of them, of which the newest that is good is taken. Returns
  // its path and who saved it.
  struct Resumed {
    std::string path;
    std::map<std::string, std::string> provenance;
    std::string config;  // TOML; empty where the save has none
    std::vector<FileIdentity> data;
    bool had_average = false;  // of weights; without it, one that is kept starts as they are
  };
  absl::StatusOr<Resumed> Resume(const std::string& where);
  // Saves of this training; see Checkpointer::Start, which takes run().
  absl::StatusOr<std::unique_ptr<Checkpointer>> OpenCheckpoints(CheckpointOptions options);
  // One checkpoint of now, durable when this returns.
  absl::Status Save(const std::string& folder);
  // Marks the state as unhealthy where a weight is not finite. Before a save. Collective.
  void CheckWeights();

  // The next step. An error if the data cannot be read; the same on all ranks. Meanwhile reads what
  // the step after it needs of the same source, whose errors are that step's. Collective.
  absl::StatusOr<StepResult> Run(const DataSource& data);

  // The loss on held-out data: of the average of weights, where one is kept. Weights and state are
  // then as they were, to the bit. See Evaluate in train/evaluate.h. Collective.
  absl::StatusOr<EvalResult> Evaluate(const DataSource& data, int64_t batches);

  const RunState& run() const { return run_; }
  // Of the learning rate.
  Schedule schedule() const;
  const Model& model() const { return *model_; }
  Engine& engine() { return *engine_; }  // after Allocate(), as what follows
  ShardedState& state() { return *state_; }
  // Called between the gradients' completion and the update; for tests.
  std::function<void(Tensor grads)> on_gradients;

 private:
  Stepper(const Config& config, Mesh& mesh) : config_(config), mesh_(mesh) {}
  int64_t MicroBatches() const;
  bool averages() const { return config_.optimizer.ema > 0.0; }
  // Trains on, or evaluates, what was the average so far.
  void SwapAverage();
  // This rank's samples of micro-batch i of a step, with targets masked. From any thread.
  absl::Status FillBatch(const DataSource& data, int64_t first, int64_t i, HostBatch* out) const;

  Config config_;
  Mesh& mesh_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<ShardedState> state_;
  Buffer scalars_memory_, host_scalars_, sums_memory_;
  RunState run_;
  bool weights_finite_ = true;  // when last checked
  std::unique_ptr<ReadAhead> reader_;
};

}  // namespace tl
