// SPDX-License-Identifier: Apache-2.0
// A model as one rank declares it: stem, trunk and objective, their parameters and the plan of
// their activations.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "comm/grid.h"
#include "model/trunk.h"
#include "nn/batch.h"
#include "nn/params.h"
#include "nn/plan.h"
#include "objective/objective.h"

namespace tl {

struct ModelOptions {
  ModelConfig model;
  ObjectiveConfig objective;
  DType compute = DType::kF32;
  int64_t batch = 1;  // sequences of one pass
  int64_t sequence_length = 1;
  int64_t positions = 0;  // of the rotary table; 0: sequence_length
  bool sequence_parallel = false;
  BlockOptions blocks = {};
  double z_loss = 0.0;
  int64_t loss_chunk = 0;
  int64_t bucket_elements = 4 << 20;
  bool segments = false;  // documents packed into a sequence are kept apart
  DeviceType device = DeviceType::kCpu;
  Plan::Purpose purpose = Plan::Purpose::kTraining;
  ObjectiveMaker make_objective = MakeObjective;  // tests have objectives of their own
};

// Bytes that a model needs at least on one rank, however many.
struct LeastMemory {
  double weights = 0.0;
  double gradients = 0.0;
  double activations = 0.0;
};

// Owns no memory of a device: an Engine (engine/engine.h) allocates what is planned here and runs
// the layers over it, one engine at a time.
class Model {
 public:
  // Declares everything, with no rank but this one. Then, before memory is planned, which takes its
  // time and exact sizes, refuses what `check` does, and parameters that one cannot count.
  using Check = std::function<absl::Status(const LeastMemory&)>;
  static absl::StatusOr<std::unique_ptr<Model>> Declare(const ModelOptions& options,
                                                        const Grid& grid, const Check& check = {});

  const ModelOptions& options() const { return options_; }
  const Geometry& geometry() const { return geometry_; }
  int64_t rows() const { return geometry_.rows(); }
  int64_t positions() const;  // of the rotary table
  const ParamTable& params() const { return params_; }
  const Plan& plan() const { return plan_; }

  Stem& stem() { return *stem_; }
  Trunk& trunk() { return trunk_; }
  Objective& objective() { return *objective_; }
  const Objective& objective() const { return *objective_; }
  int lookahead() const { return objective_->lookahead(); }
  BatchShape batch_shape() const;  // of one pass

  // Bytes on this rank.
  int64_t weight_bytes() const;
  int64_t gradient_bytes() const;  // 0 for inference
  int64_t activation_bytes() const { return plan_.arena_bytes(); }
  int64_t table_bytes() const;
  int64_t pass_bytes() const;  // inputs of one pass, see InputLoader
  int64_t sum_bytes() const;   // HeadSums of every head
  int64_t input_bytes() const { return pass_bytes() + table_bytes() + sum_bytes(); }
  // Of the ops of passes over whole sequences, beside the arena; an upper bound. The CPU's is not
  // planned.
  int64_t scratch_bytes() const;

 private:
  Model(const ModelOptions& options, const Grid& grid);
  LeastMemory Least() const;

  ModelOptions options_;
  Geometry geometry_;
  ParamTable params_;
  Plan plan_;
  Trunk trunk_;
  std::unique_ptr<Objective> objective_;
  std::unique_ptr<Stem> stem_;
};

// Lists names and whole shapes of a model's tensors, however large it is.
absl::StatusOr<std::vector<ParamPart>> ModelTensors(const ModelConfig& model,
                                                    const ObjectiveConfig& objective);

}  // namespace tl
