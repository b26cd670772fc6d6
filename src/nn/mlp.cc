#include "nn/mlp.h"

#include "kernels/swiglu.h"

namespace tl {

void Mlp::Declare(Plan& plan) {
  const auto& c = config_;
  const auto& g = geometry_;
  const int64_t rows = g.rows(), ffn = c.ffn / g.tensor_size;
  const auto scope = plan.Enter();
  if (g.split_rows()) {
    x_full_ = plan.Slot("x_full", {rows, c.hidden}, g.compute, Life::kForward);
    x_full_backward_ = plan.Slot("x_full", {rows, c.hidden}, g.compute, Life::kBackward);
    dx_full_ = plan.Slot("dx_full", {rows, c.hidden}, g.compute, Life::kBackward);
  }
  const auto part = [&](const char* what) {
    return ParamPart{
        .name = c.name + "." + what + ".weight", .shape = {c.ffn, c.hidden}, .split_axis = 0};
  };
  gate_up_linear_.Declare(plan, {.name = c.name + ".gate_up.weight",
                                 .parts = {part("gate"), part("up")},
                                 .init_std = c.init_std});
  gate_up_ = plan.Slot("gate_up", {rows, 2 * ffn}, g.compute, Life::kSaved);
  if (g.split_rows()) plan.End(x_full_);
  act_ = plan.Slot("act", {rows, ffn}, g.compute,
                   c.recompute_activation ? Life::kForward : Life::kSaved);
  if (c.recompute_activation)
    act_again_ = plan.Slot("act", {rows, ffn}, g.compute, Life::kBackward);
  d_act_ = plan.Slot("d_act", {rows, ffn}, g.compute, Life::kBackward);
  if (g.split_rows()) {
    y_full_ = plan.Slot("y_full", {rows, c.hidden}, g.compute, Life::kForward);
    dy_full_ = plan.Slot("dy_full", {rows, c.hidden}, g.compute, Life::kBackward);
  }
  down_linear_.Declare(
      plan,
      {.name = c.name + ".down.weight",
       .parts = {{.name = c.name + ".down.weight", .shape = {c.hidden, c.ffn}, .split_axis = 1}},
       .init_std = c.out_init_std});
}

void Mlp::Forward(Step& step, Tensor y, Tensor x) {
  const auto& g = geometry_;
  const Tensor gate_up = step.Slot(gate_up_), act = step.Slot(act_);
  const Tensor x_full = GatherRows(step, g, g.split_rows() ? step.Slot(x_full_) : x, x);
  gate_up_linear_.Forward(step, gate_up, x_full);
  Swiglu(step.stream(), {.y = act, .gate_up = gate_up});
  const Tensor partial = g.split_rows() ? step.Slot(y_full_) : y;
  down_linear_.Forward(step, partial, act);
  ReduceRows(step, g, y, partial);
}

void Mlp::Backward(Step& step, Tensor dx, Tensor dy, Tensor x) {
  const auto& g = geometry_;
  const Tensor dy_full = GatherRows(step, g, g.split_rows() ? step.Slot(dy_full_) : dy, dy);
  const Tensor gate_up = step.Slot(gate_up_), d_act = step.Slot(d_act_);
  Tensor act = step.Slot(act_);
  if (config_.recompute_activation) {
    act = step.Slot(act_again_);
    Swiglu(step.stream(), {.y = act, .gate_up = gate_up});
  }
  down_linear_.Backward(step, d_act, dy_full, act);
  // The forward's gate|up is of no further use: its gradient takes its place.
  SwigluBackward(step.stream(), {.d_gate_up = gate_up, .dy = d_act, .gate_up = gate_up});
  const Tensor x_full = GatherRows(step, g, g.split_rows() ? step.Slot(x_full_backward_) : x, x);
  const Tensor partial = g.split_rows() ? step.Slot(dx_full_) : dx;
  gate_up_linear_.Backward(step, partial, gate_up, x_full);
  ReduceRows(step, g, dx, partial);
}

}  // namespace tl
