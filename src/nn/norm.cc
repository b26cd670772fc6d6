// SPDX-License-Identifier: Apache-2.0
#include "nn/norm.h"

#include <algorithm>

#include "kernels/modulated_norm.h"
#include "kernels/norm.h"

namespace tl {

void Norm::Declare(Plan& plan, int64_t rows, int64_t heads, TensorReduce reduce) {
  if (kind_ == NormKind::kModulated) {
    rstd_ = plan.Slot(name_ + ".rstd", {rows}, DType::kF32, Life::kSaved);
    plan.Scratch(Plan::When::kBackward, [rows] { return ModulatedNormBackwardScratch(rows); });
    return;
  }
  weight_ = plan.Param({.name = name_,
                        .parts = {{.name = name_, .shape = {size_}}},
                        .init = InitKind::kOnes,
                        .kind = ParamKind::kNorm,
                        .reduce = reduce});
  rstd_ = plan.Slot(name_ + ".rstd", heads > 0 ? Shape{rows, heads} : Shape{rows}, DType::kF32,
                    Life::kSaved);
  plan.Scratch(Plan::When::kBackward, [rows, heads, size = size_] {
    return RmsNormBackwardScratch(rows * std::max<int64_t>(1, heads), size);
  });
}

void Norm::Forward(Step& step, Tensor y, Tensor x) const {
  RmsNorm(step.stream(), {.y = y,
                          .rstd = step.Slot(rstd_),
                          .x = x,
                          .w = step.Weight(weight_),
                          .eps = static_cast<float>(eps_)});
}

void Norm::Forward(Step& step, Tensor y, Tensor sum, Tensor x, Tensor residual) const {
  RmsNorm(step.stream(), {.y = y,
                          .rstd = step.Slot(rstd_),
                          .x = x,
                          .w = step.Weight(weight_),
                          .eps = static_cast<float>(eps_),
                          .residual = residual,
                          .sum = sum});
}

void Norm::Backward(Step& step, Tensor dx, Tensor dy, Tensor x, Tensor d_sum) const {
  const bool learns = step.learns();
  const auto [dw, accumulate] = learns ? step.Grad(weight_) : Step::GradTarget{};
  RmsNormBackward(step.stream(), {.dx = dx,
                                  .dw = dw,
                                  .dy = dy,
                                  .x = x,
                                  .w = step.Weight(weight_),
                                  .rstd = step.Slot(rstd_),
                                  .d_sum = d_sum,
                                  .accumulate_dw = accumulate});
  if (learns) step.GradDone(weight_);
}

Tensor Norm::Forward(Step& step, Tensor y, Tensor sum, const Residual& in,
                     const Modulation& m) const {
  if (kind_ == NormKind::kWeighted) {
    if (in.delta) {
      Forward(step, y, sum, in.h, in.delta);
    } else {
      Forward(step, y, in.h);
    }
    return in.delta ? sum : in.h;
  }
  ModulatedNorm(step.stream(), {.y = y,
                                .rstd = step.Slot(rstd_),
                                .x = in.h,
                                .shift = m.shift,
                                .scale = m.scale,
                                .samples = SamplesOf(step, geometry_),
                                .eps = static_cast<float>(eps_),
                                .residual = in.delta,
                                .gate = in.delta ? in.gate : Tensor{},
                                .sum = in.delta ? sum : Tensor{}});
  return in.delta ? sum : in.h;
}

void Norm::Backward(Step& step, Tensor dx, Tensor dy, Tensor x, Tensor d_sum, const Modulation& m,
                    const Modulation& d) const {
  if (kind_ == NormKind::kWeighted) return Backward(step, dx, dy, x, d_sum);
  ModulatedNormBackward(step.stream(), {.dx = dx,
                                        .d_shift = d.shift,
                                        .d_scale = d.scale,
                                        .dy = dy,
                                        .x = x,
                                        .scale = m.scale,
                                        .rstd = step.Slot(rstd_),
                                        .samples = SamplesOf(step, geometry_),
                                        .d_sum = d_sum});
}

}  // namespace tl
