// SPDX-License-Identifier: Apache-2.0
#include "nn/norm.h"

#include <algorithm>

#include "kernels/norm.h"

namespace tl {

void Norm::Declare(Plan& plan, int64_t rows, int64_t heads, TensorReduce reduce) {
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
  const auto [dw, accumulate] = step.Grad(weight_);
  RmsNormBackward(step.stream(), {.dx = dx,
                                  .dw = dw,
                                  .dy = dy,
                                  .x = x,
                                  .w = step.Weight(weight_),
                                  .rstd = step.Slot(rstd_),
                                  .d_sum = d_sum,
                                  .accumulate_dw = accumulate});
  step.GradDone(weight_);
}

}  // namespace tl
