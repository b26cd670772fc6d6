// SPDX-License-Identifier: Apache-2.0
#include "objective/readout.h"

namespace tl {

Readout::Readout(const ObjectiveContext& context, const std::string& norm_name,
                 Plan::Use unembedding_use, Life y_life)
    : context_(context),
      norm_(norm_name, context.hidden, context.norm_eps),
      loss_({.weight = context.unembedding,
             .chunk = context.loss_chunk,
             .z_loss = context.z_loss,
             .use = unembedding_use},
            context.geometry),
      y_life_(y_life) {}

void Readout::Declare(Plan& plan) {
  const Geometry& g = context_.geometry;
  const Shape shape{g.local_rows(), context_.hidden};
  sum_ = plan.Slot("final_sum", shape, g.compute, Life::kSaved);
  norm_.Declare(plan, g.local_rows(), 0, g.row_reduce());
  y_ = plan.Slot("final_y", shape, g.compute, y_life_);
  d_y_ = plan.GradientSlot("d_final_y", shape, g.compute, Life::kSaved);
  loss_.Declare(plan);
}

Tensor Readout::Forward(Step& step, Residual in) {
  const Tensor y = step.Slot(y_);
  sum_now_ = in.h;
  if (in.delta) {
    sum_now_ = step.Slot(sum_);
    norm_.Forward(step, y, sum_now_, in.h, in.delta);
  } else {
    norm_.Forward(step, y, in.h);
  }
  return y;
}

Tensor Readout::Loss(Step& step, HeadMeter& meter, int head, bool training) {
  const Tensor d_y = training ? step.Slot(d_y_) : Tensor{};
  meter.Run(step, loss_, head, step.Slot(y_), d_y);
  return d_y;
}

void Readout::Backward(Step& step, Tensor d_in, Tensor d_y, Tensor d_sum) {
  norm_.Backward(step, d_in, d_y, sum_now_, d_sum);
}

void Readout::Run(Step& step, HeadMeter& meter, int head, Residual in, Tensor d_in) {
  Forward(step, in);
  const Tensor d_y = Loss(step, meter, head, static_cast<bool>(d_in));
  if (d_in) Backward(step, d_in, d_y);
}

void Readout::Logits(Step& step, Residual in, int64_t row, Tensor logits) {
  Forward(step, in);
  Logits(step, row, logits);
}

void Readout::Logits(Step& step, int64_t row, Tensor logits) {
  loss_.Logits(step, logits, step.Slot(y_).Slice(0, row, row + logits.shape[0]));
}

}  // namespace tl
