#include "objective/next_token.h"

namespace tl {

NextToken::NextToken(const ObjectiveContext& context)
    : context_(context),
      norm_("final_norm.weight", context.hidden, context.norm_eps),
      loss_({.weight = context.unembedding, .chunk = context.loss_chunk, .z_loss = context.z_loss},
            context.geometry),
      meter_(context.geometry) {}

void NextToken::Declare(Plan& plan) {
  const Geometry& g = context_.geometry;
  const Shape shape{g.local_rows(), context_.hidden};
  sum_ = plan.Slot("final_sum", shape, g.compute, Life::kSaved);
  norm_.Declare(plan, g.local_rows(), 0, g.row_reduce());
  y_ = plan.Slot("final_y", shape, g.compute, Life::kForward);
  d_y_ = plan.Slot("d_final_y", shape, g.compute, Life::kSaved);
  meter_.Declare(plan);
  loss_.Declare(plan);
}

Tensor NextToken::FinalNorm(Step& step, Residual trunk_out, Tensor y) {
  if (!trunk_out.delta) {
    norm_.Forward(step, y, trunk_out.h);
    return trunk_out.h;
  }
  const Tensor sum = step.Slot(sum_);
  norm_.Forward(step, y, sum, trunk_out.h, trunk_out.delta);
  return sum;
}

void NextToken::Run(Step& step, Residual trunk_out, Tensor d_stream) {
  const Tensor y = step.Slot(y_);
  const Tensor sum = FinalNorm(step, trunk_out, y);
  const Tensor d_y = d_stream ? step.Slot(d_y_) : Tensor{};
  meter_.Run(step, loss_, 0, y, d_y);
  if (d_stream) norm_.Backward(step, d_stream, d_y, sum, {});
}

void NextToken::Logits(Step& step, Residual trunk_out, int64_t row, Tensor logits) {
  const Tensor y = step.Slot(y_);
  FinalNorm(step, trunk_out, y);
  loss_.Logits(step, logits, y.Slice(0, row, row + logits.shape[0]));
}

}  // namespace tl
