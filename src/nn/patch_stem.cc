// SPDX-License-Identifier: Apache-2.0
#include "nn/patch_stem.h"

#include "nn/whole_rows.h"

namespace tl {

void PatchStem::Declare(Plan& plan) {
  linear_.Declare(
      plan,
      {.name = "patches.weight",
       .parts = {{.name = "patches.weight", .shape = {config_.hidden, config_.row_values}}},
       .init_std = config_.init_std,
       .reduce = geometry_.row_reduce()},
      {.name = "patches.bias",
       .parts = {{.name = "patches.bias", .shape = {config_.hidden}}},
       .init = InitKind::kZeros,
       .kind = ParamKind::kBias,
       .reduce = geometry_.row_reduce()},
      {.gradient = plan.to_inputs()});
  // Until the end of all: what it is made from is declared later.
  if (plan.to_inputs())
    d_values_ = plan.Slot("d_values", {geometry_.local_rows(), config_.row_values},
                          geometry_.compute, Life::kBackward);
  dropout_.Declare(plan);
}

void PatchStem::Forward(Step& step, Tensor x) {
  linear_.Forward(step, x, OwnRows(step, geometry_, step.inputs().values));
  dropout_.Forward(step, x);
}

void PatchStem::Backward(Step& step, Tensor dx) {
  const Tensor dy = dropout_.Backward(step, dx, dx);
  linear_.Backward(step, d_values_ >= 0 ? step.Slot(d_values_) : Tensor{}, dy,
                   OwnRows(step, geometry_, step.inputs().values));
}

}  // namespace tl
