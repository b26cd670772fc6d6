// SPDX-License-Identifier: Apache-2.0
// Dropout of rows of the residual stream, or of what is added to it, as GPT-2 and Megatron's
// --hidden-dropout have it: while training, each element is dropped with a probability and the
// others are scaled up to keep the mean. The mask is a function of the seed, the layer's name, the
// element's sample, position and column: not of the grid, not of the micro-batches, and the same
// when a block is recomputed. Layers that share a name, as MTP modules that share their weights,
// share their masks.
#pragma once

#include <cstdint>
#include <string>

#include "base/philox.h"
#include "nn/geometry.h"
#include "nn/step.h"

namespace tl {

struct DropoutConfig {
  double rate = 0.0;
  uint64_t seed = 0;
};

class HiddenDropout {
 public:
  HiddenDropout(const std::string& name, DropoutConfig config, Geometry geometry)
      : config_(config),
        geometry_(geometry),
        key_(HashName(name.data(), name.size(), config.seed)) {}
  // What is declared as frozen, or for inference, drops nothing.
  void Declare(Plan& plan) { trains_ = plan.learns(); }
  // Masks x, [local rows, hidden], in a pass that trains.
  void Forward(Step& step, Tensor x) const {
    if (Active(step)) Apply(step, x, x);
  }
  // The gradient at what went in, from that at what came out: written to dx, or dy itself where
  // this pass drops nothing. dx may be dy.
  Tensor Backward(Step& step, Tensor dx, Tensor dy) const {
    if (!Active(step)) return dy;
    Apply(step, dx, dy);
    return dx;
  }

 private:
  bool Active(const Step& step) const {
    return trains_ && config_.rate > 0.0 && step.training() != nullptr;
  }
  void Apply(Step& step, Tensor y, Tensor x) const;

  DropoutConfig config_;
  Geometry geometry_;
  uint64_t key_;
  bool trains_ = false;
};

}  // namespace tl
