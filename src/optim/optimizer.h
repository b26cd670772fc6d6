// SPDX-License-Identifier: Apache-2.0
// Optimizers over a ShardedState.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "kernels/step_scalars.h"
#include "optim/sharded_state.h"

namespace tl {

struct AdamWSettings {
  double beta1 = 0.9;
  double beta2 = 0.95;
  double eps = 1e-8;
};

class Optimizer {
 public:
  virtual ~Optimizer() = default;
  // fp32 values per element beside the master weight.
  virtual int states() const = 0;
  // Updates masters and weights of this rank's part from its gradients (flat fp32).
  virtual void Update(Stream& stream, ShardedState& state, Tensor grads, Weights& weights,
                      const StepScalars* scalars) = 0;
};

// An unknown name is an error that lists the known ones.
absl::StatusOr<std::unique_ptr<Optimizer>> MakeOptimizer(const std::string& name,
                                                         const AdamWSettings& settings);
std::string OptimizerNames();

}  // namespace tl
