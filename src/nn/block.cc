// SPDX-License-Identifier: Apache-2.0
#include "nn/block.h"

#include "kernels/gate_backward.h"

namespace tl {
namespace {

NormKind KindOf(const BlockConfig& config) {
  return config.conditioned ? NormKind::kModulated : NormKind::kWeighted;
}

}  // namespace

Block::Block(const BlockConfig& config, Geometry geometry)
    : config_(config),
      geometry_(geometry),
      norm1_(config.name + ".attention_norm.weight", config.attention.hidden, config.norm_eps,
             KindOf(config), geometry),
      norm2_(config.name + ".mlp_norm.weight", config.attention.hidden, config.norm_eps,
             KindOf(config), geometry),
      attention_(config.attention, geometry),
      mlp_(config.mlp, geometry),
      attention_dropout_(config.name + ".attention.dropout", config.dropout, geometry),
      mlp_dropout_(config.name + ".mlp.dropout", config.dropout, geometry) {}

void Block::Declare(Plan& plan, SlotId stream_h, SlotId stream_delta, bool has_delta, bool tapped) {
  a_ = m_ = stream_delta;
  const Shape shape{geometry_.local_rows(), config_.attention.hidden};
  const auto slot = [&](const char* name, Life life) {
    return plan.Slot(config_.name + "." + name, shape, geometry_.compute, life);
  };
  const bool selective = config_.recompute == Recompute::kSelective;
  const bool full = config_.recompute == Recompute::kFull;
  const Life norm_life = selective ? Life::kForward : Life::kSaved;
  // Outside of the scope, with whose end it would end where nothing is kept for a backward pass.
  if (has_delta && tapped) h1_ = slot("h1", Life::kSaved);
  const auto scope = plan.Enter();
  if (has_delta && !tapped) h1_ = slot("h1", Life::kSaved);
  dy_ = slot("dy", Life::kBackward);
  if (selective) y_again_ = slot("y", Life::kBackward);
  const auto region = full ? plan.Recomputed() : plan.Enter();
  norm1_.Declare(plan, geometry_.local_rows(), 0, geometry_.row_reduce());
  y1_ = slot("y1", norm_life);
  // Gradients of gates read what was added: of the memory that the stream shares, m alone is left,
  // where the block has just run again.
  const bool keeps_branches = config_.conditioned && plan.learns();
  if (keeps_branches) a_ = slot("a", Life::kSaved);
  attention_.Declare(plan);
  attention_dropout_.Declare(plan);
  if (selective) plan.End(y1_);
  h2_ = stream_h >= 0 ? stream_h : slot("h2", Life::kSaved);
  norm2_.Declare(plan, geometry_.local_rows(), 0, geometry_.row_reduce());
  y2_ = slot("y2", norm_life);
  if (keeps_branches && !full) m_ = slot("m", Life::kSaved);
  mlp_.Declare(plan);
  mlp_dropout_.Declare(plan);
}

Residual Block::Body(Step& step, Tensor y1, Tensor rope, const BlockModulation& mod) {
  const Tensor a = step.Slot(a_), m = step.Slot(m_), h2 = step.Slot(h2_), y2 = step.Slot(y2_);
  attention_.Forward(step, a, y1, rope);
  attention_dropout_.Forward(step, a);
  norm2_.Forward(step, y2, h2, {.h = h1_now_, .delta = a, .gate = mod.attention.gate}, mod.mlp);
  mlp_.Forward(step, m, y2);
  mlp_dropout_.Forward(step, m);
  return {.h = h2, .delta = m, .gate = mod.mlp.gate};
}

Residual Block::Forward(Step& step, Residual in, Tensor rope, const BlockModulation& m) {
  const Tensor y1 = step.Slot(y1_);
  h1_now_ = norm1_.Forward(step, y1, in.delta ? step.Slot(h1_) : Tensor{}, in, m.attention);
  return Body(step, y1, rope, m);
}

Tensor Block::BranchGradient(Step& step, Tensor d_stream, SlotId branch, const Modulation& m,
                             const Modulation& d) const {
  if (!config_.conditioned) return d_stream;
  const Tensor dy = step.Slot(dy_);
  GateBackward(step.stream(), {.d_residual = dy,
                               .d_gate = d.gate,
                               .d = d_stream,
                               .residual = step.Slot(branch),
                               .gate = m.gate,
                               .samples = SamplesOf(step, geometry_)});
  return dy;
}

void Block::Backward(Step& step, Tensor d_stream, Tensor rope, const BlockModulation& m,
                     const BlockModulation& d) {
  const bool selective = config_.recompute == Recompute::kSelective;
  Tensor y1 = step.Slot(y1_), y2 = step.Slot(y2_);
  if (config_.recompute == Recompute::kFull) {
    norm1_.Forward(step, y1, {}, {.h = h1_now_, .delta = {}}, m.attention);
    Body(step, y1, rope, m);
  }
  const Tensor h2 = step.Slot(h2_), dy = step.Slot(dy_);
  if (selective) {
    y2 = step.Slot(y_again_);
    norm2_.Forward(step, y2, {}, {.h = h2, .delta = {}}, m.mlp);
  }
  const Tensor d_m = BranchGradient(step, d_stream, m_, m.mlp, d.mlp);
  mlp_.Backward(step, dy, mlp_dropout_.Backward(step, dy, d_m), y2);
  norm2_.Backward(step, d_stream, dy, h2, d_stream, m.mlp, d.mlp);
  if (selective) {
    y1 = step.Slot(y_again_);
    norm1_.Forward(step, y1, {}, {.h = h1_now_, .delta = {}}, m.attention);
  }
  const Tensor d_a = BranchGradient(step, d_stream, a_, m.attention, d.attention);
  attention_.Backward(step, dy, attention_dropout_.Backward(step, dy, d_a), y1, rope);
  norm1_.Backward(step, d_stream, dy, h1_now_, d_stream, m.attention, d.attention);
}

}  // namespace tl
