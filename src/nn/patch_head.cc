// SPDX-License-Identifier: Apache-2.0
#include "nn/patch_head.h"

namespace tl {

PatchHead::PatchHead(const PatchHeadConfig& config, Geometry geometry)
    : config_(config),
      geometry_(geometry),
      norm_("final_norm", config.hidden, config.norm_eps, NormKind::kModulated, geometry) {}

void PatchHead::Declare(Plan& plan) {
  const auto& g = geometry_;
  const Shape shape = {g.local_rows(), config_.hidden};
  sum_ = plan.Slot("final_sum", shape, g.compute, Life::kSaved);
  norm_.Declare(plan, g.local_rows(), 0, g.row_reduce());
  y_ = plan.Slot("final_y", shape, g.compute, Life::kSaved);
  d_y_ = plan.Slot("d_final_y", shape, g.compute, Life::kBackward);
  linear_.Declare(
      plan,
      {.name = "head.weight",
       .parts = {{.name = "head.weight", .shape = {config_.row_values, config_.hidden}}},
       .init = InitKind::kZeros,
       .reduce = g.row_reduce()},
      {.name = "head.bias",
       .parts = {{.name = "head.bias", .shape = {config_.row_values}}},
       .init = InitKind::kZeros,
       .kind = ParamKind::kBias,
       .reduce = g.row_reduce()});
  f_ = plan.Slot("f", {g.local_rows(), config_.row_values}, DType::kF32, Life::kForward);
}

Tensor PatchHead::Forward(Step& step, const Residual& in, const Modulation& m) {
  const Tensor y = step.Slot(y_), f = step.Slot(f_);
  sum_now_ = norm_.Forward(step, y, in.delta ? step.Slot(sum_) : Tensor{}, in, m);
  linear_.Forward(step, f, y);
  return f;
}

void PatchHead::Backward(Step& step, Tensor d_in, Tensor d_f, const Modulation& m,
                         const Modulation& d_m) {
  const Tensor d_y = step.Slot(d_y_);
  linear_.Backward(step, d_y, d_f, step.Slot(y_));
  norm_.Backward(step, d_in, d_y, sum_now_, {}, m, d_m);
}

}  // namespace tl
