// SPDX-License-Identifier: Apache-2.0
#include "nn/linear.h"

#include "kernels/elementwise.h"
#include "kernels/matmul.h"
#include "kernels/row_matmul.h"

namespace tl {

void Product(Step& step, Tensor y, Tensor x, Tensor w, Tensor bias) {
  if (step.cached() != nullptr) {
    RowMatmul(step.stream(), {.y = y, .x = x, .w = w, .bias = bias});
  } else {
    Matmul(step.stream(), {.c = y, .a = x, .b = w, .trans_b = Transpose::kYes, .bias = bias});
  }
}

void Linear::Declare(Plan& plan, const ParamSpec& weight, Plan::ProductInput x) {
  weight_ = plan.Param(weight);
  plan.WeightProduct(weight_, Plan::Use::kTrain, x);
}

void Linear::Declare(Plan& plan, const ParamSpec& weight, const ParamSpec& bias,
                     Plan::ProductInput x) {
  Declare(plan, weight, x);
  bias_ = plan.Param(bias);
  const auto width = static_cast<int64_t>(bias.elements());
  plan.Scratch(Plan::When::kForward, [width] { return MatmulScratch(width); });
  plan.Scratch(Plan::When::kBackward, [width] { return BiasBackwardScratch(width); });
}

void Linear::Forward(Step& step, Tensor y, Tensor x) const {
  Product(step, y, x, step.Weight(weight_), bias_ >= 0 ? step.Weight(bias_) : Tensor{});
  step.Progress();
}

void Linear::Backward(Step& step, Tensor dx, Tensor dy, Tensor x) const {
  if (dx) Matmul(step.stream(), {.c = dx, .a = dy, .b = step.Weight(weight_)});
  if (!step.learns()) return;
  const auto [dw, accumulate] = step.Grad(weight_);
  Matmul(step.stream(),
         {.c = dw, .a = dy, .b = x, .trans_a = Transpose::kYes, .beta = accumulate ? 1.0f : 0.0f});
  step.GradDone(weight_);
  if (bias_ < 0) return;
  const auto [db, accumulate_bias] = step.Grad(bias_);
  BiasBackward(step.stream(), {.d_bias = db, .dy = dy, .accumulate = accumulate_bias});
  step.GradDone(bias_);
}

}  // namespace tl
