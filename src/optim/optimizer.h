// SPDX-License-Identifier: Apache-2.0
// Optimizers over a ShardedState.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/step_scalars.h"
#include "optim/sharded_state.h"

namespace tl {

struct AdamWSettings {
  double beta1 = 0.9;
  double beta2 = 0.95;
  double eps = 1e-8;
  bool average = false;  // keeps an average of weights, which every update moves by ema_rate
};

// Returns 1 - decay of the average of weights in the update after so many: the decay rises to `ema`
// as min(ema, (1 + n) / (10 + n)), so that the first weights are soon forgotten.
inline double AverageRate(double ema, int64_t updates) {
  return std::max(1.0 - ema, 9.0 / (10.0 + static_cast<double>(updates)));
}

class Optimizer {
 public:
  virtual ~Optimizer() = default;
  // Names the fp32 values that each element of a bucket has beside its master weight; frozen ones
  // have none.
  virtual std::vector<std::string> Roles(const Bucket& bucket) const = 0;
  BucketRoles Roles(const ParamTable& table) const;
  // Updates masters and weights of this rank's part from its gradients (flat fp32).
  virtual void Update(Stream& stream, ShardedState& state, Tensor grads, Weights& weights,
                      const StepScalars* scalars) = 0;
};

// An unknown name is an error that lists the known ones.
absl::StatusOr<std::unique_ptr<Optimizer>> MakeOptimizer(const std::string& name,
                                                         const AdamWSettings& settings);
std::string OptimizerNames();

}  // namespace tl
