// SPDX-License-Identifier: Apache-2.0
#include "nn/block.h"

namespace tl {

Block::Block(const BlockConfig& config, Geometry geometry)
    : config_(config),
      geometry_(geometry),
      norm1_(config.name + ".attention_norm.weight", config.attention.hidden, config.norm_eps),
      norm2_(config.name + ".mlp_norm.weight", config.attention.hidden, config.norm_eps),
      attention_(config.attention, geometry),
      mlp_(config.mlp, geometry),
      attention_dropout_(config.name + ".attention.dropout", config.dropout, geometry),
      mlp_dropout_(config.name + ".mlp.dropout", config.dropout, geometry) {}

void Block::Declare(Plan& plan, SlotId stream_h, SlotId stream_delta, bool has_delta, bool tapped) {
  stream_delta_ = stream_delta;
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
  attention_.Declare(plan);
  attention_dropout_.Declare(plan);
  if (selective) plan.End(y1_);
  h2_ = stream_h >= 0 ? stream_h : slot("h2", Life::kSaved);
  norm2_.Declare(plan, geometry_.local_rows(), 0, geometry_.row_reduce());
  y2_ = slot("y2", norm_life);
  mlp_.Declare(plan);
  mlp_dropout_.Declare(plan);
}

Residual Block::Body(Step& step, Tensor y1, Tensor rope) {
  const Tensor delta = step.Slot(stream_delta_), h2 = step.Slot(h2_), y2 = step.Slot(y2_);
  attention_.Forward(step, delta, y1, rope);
  attention_dropout_.Forward(step, delta);
  norm2_.Forward(step, y2, h2, h1_now_, delta);
  mlp_.Forward(step, delta, y2);
  mlp_dropout_.Forward(step, delta);
  return {h2, delta};
}

Residual Block::Forward(Step& step, Residual in, Tensor rope) {
  const Tensor y1 = step.Slot(y1_);
  h1_now_ = in.h;
  if (in.delta) {
    h1_now_ = step.Slot(h1_);
    norm1_.Forward(step, y1, h1_now_, in.h, in.delta);
  } else {
    norm1_.Forward(step, y1, h1_now_);
  }
  return Body(step, y1, rope);
}

void Block::Backward(Step& step, Tensor d_stream, Tensor rope) {
  const bool selective = config_.recompute == Recompute::kSelective;
  Tensor y1 = step.Slot(y1_), y2 = step.Slot(y2_);
  if (config_.recompute == Recompute::kFull) {
    norm1_.Forward(step, y1, h1_now_);
    Body(step, y1, rope);
  }
  const Tensor h2 = step.Slot(h2_), dy = step.Slot(dy_);
  if (selective) {
    y2 = step.Slot(y_again_);
    norm2_.Forward(step, y2, h2);
  }
  mlp_.Backward(step, dy, mlp_dropout_.Backward(step, dy, d_stream), y2);
  norm2_.Backward(step, d_stream, dy, h2, d_stream);
  if (selective) {
    y1 = step.Slot(y_again_);
    norm1_.Forward(step, y1, h1_now_);
  }
  attention_.Backward(step, dy, attention_dropout_.Backward(step, dy, d_stream), y1, rope);
  norm1_.Backward(step, d_stream, dy, h1_now_, d_stream);
}

}  // namespace tl
