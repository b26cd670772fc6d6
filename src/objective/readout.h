// SPDX-License-Identifier: Apache-2.0
// A residual stream read out: final norm, unembedding, loss.
#pragma once

#include <string>

#include "nn/norm.h"
#include "objective/head_meter.h"
#include "objective/objective.h"

namespace tl {

class Readout {
 public:
  Readout(const ObjectiveContext& context, const std::string& norm_name,
          Plan::Use unembedding_use = Plan::Use::kTrain, Life y_life = Life::kForward);
  void Declare(Plan& plan);

  // y = norm(in), [local rows, hidden], which lives as long as y_life says.
  Tensor Forward(Step& step, Residual in);
  // The loss of y; training: its gradient at y, which is returned.
  Tensor Loss(Step& step, HeadMeter& meter, int head, bool training);
  // From the gradient at y to that at in's sum (+ d_sum, which may be d_in).
  void Backward(Step& step, Tensor d_in, Tensor d_y, Tensor d_sum = {});
  // All three; d_in null: evaluate only.
  void Run(Step& step, HeadMeter& meter, int head, Residual in, Tensor d_in);
  void Logits(Step& step, Residual in, int64_t row, Tensor logits);
  // After Forward.
  void Logits(Step& step, int64_t row, Tensor logits);

  Tensor sum() const { return sum_now_; }  // the input of the norm, after Forward
  int64_t local_vocab() const { return loss_.local_vocab(); }

 private:
  ObjectiveContext context_;
  Norm norm_;
  LmLoss loss_;
  Life y_life_;
  SlotId sum_ = -1, y_ = -1, d_y_ = -1;
  Tensor sum_now_;
};

}  // namespace tl
