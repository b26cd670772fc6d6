// SPDX-License-Identifier: Apache-2.0
#include "nn/mlp.h"

#include "kernels/swiglu.h"

namespace tl {

void Mlp::Declare(Plan& plan) {
  const auto& c = config_;
  const auto& g = geometry_;
  const int64_t rows = g.rows(), ffn = c.ffn / g.tensor_size;
  const auto scope = plan.Enter();
  x_full_.Declare(plan, g, "x_full", c.hidden, Life::kForward);
  x_full_backward_.Declare(plan, g, "x_full", c.hidden, Life::kBackward);
  dx_full_.Declare(plan, g, "dx_full", c.hidden, Life::kBackward);
  const auto part = [&](const char* what) {
    return ParamPart{
        .name = c.name + "." + what + ".weight", .shape = {c.ffn, c.hidden}, .split_axis = 0};
  };
  gate_up_linear_.Declare(plan, {.name = c.name + ".gate_up.weight",
                                 .parts = {part("gate"), part("up")},
                                 .init_std = c.init_std});
  gate_up_ = plan.Slot("gate_up", {rows, 2 * ffn}, g.compute, Life::kSaved);
  x_full_.End(plan);
  act_ = plan.Slot("act", {rows, ffn}, g.compute,
                   c.recompute_activation ? Life::kForward : Life::kSaved);
  if (c.recompute_activation)
    act_again_ = plan.Slot("act", {rows, ffn}, g.compute, Life::kBackward);
  d_act_ = plan.Slot("d_act", {rows, ffn}, g.compute, Life::kBackward);
  y_full_.Declare(plan, g, "y_full", c.hidden, Life::kForward);
  dy_full_.Declare(plan, g, "dy_full", c.hidden, Life::kBackward);
  down_linear_.Declare(
      plan,
      {.name = c.name + ".down.weight",
       .parts = {{.name = c.name + ".down.weight", .shape = {c.hidden, c.ffn}, .split_axis = 1}},
       .init_std = c.out_init_std});
}

void Mlp::Forward(Step& step, Tensor y, Tensor x) {
  const Tensor gate_up = step.Slot(gate_up_), act = step.Slot(act_);
  gate_up_linear_.Forward(step, gate_up, x_full_.Gather(step, x));
  Swiglu(step.stream(), {.y = act, .gate_up = gate_up});
  down_linear_.Forward(step, y_full_.Partial(step, y), act);
  y_full_.Reduce(step, y);
}

void Mlp::Backward(Step& step, Tensor dx, Tensor dy, Tensor x) {
  const Tensor dy_full = dy_full_.Gather(step, dy);
  const Tensor gate_up = step.Slot(gate_up_), d_act = step.Slot(d_act_);
  Tensor act = step.Slot(act_);
  if (config_.recompute_activation) {
    act = step.Slot(act_again_);
    Swiglu(step.stream(), {.y = act, .gate_up = gate_up});
  }
  down_linear_.Backward(step, d_act, dy_full, act);
  // The forward's gate|up is of no further use: its gradient takes its place.
  SwigluBackward(step.stream(), {.d_gate_up = gate_up, .dy = d_act, .gate_up = gate_up});
  const Tensor x_full = x_full_backward_.Gather(step, x);
  gate_up_linear_.Backward(step, dx_full_.Partial(step, dx), gate_up, x_full);
  dx_full_.Reduce(step, dx);
}

}  // namespace tl
