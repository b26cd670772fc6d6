#include "objective/independent_heads.h"

#include "kernels/elementwise.h"

namespace tl {

IndependentHeads::IndependentHeads(const ObjectiveConfig& config, const ObjectiveContext& context)
    : Objective(context), config_(config), meter_(context.geometry) {
  for (int64_t i = 1; i <= config.heads; ++i) {
    heads_.push_back({.block = Block(context.block("heads." + std::to_string(i)), context.geometry),
                      .readout = Readout(context, "final_norm.weight"),
                      .gradients = {}});
  }
}

// Forward: head i joins after (i - 1) / n of the curriculum's steps. Reverse: all are there at
// first, and head i goes after (n - i + 1) / n of them; the main head stays.
double IndependentHeads::Weight(int head, int64_t step, int64_t steps) const {
  const double weight = config_.weights.empty() ? 1.0 : config_.weights[head];
  if (head == 0 || config_.curriculum == Curriculum::kNone) return weight;
  const int64_t all = config_.curriculum_steps > 0 ? config_.curriculum_steps : steps;
  const bool on = config_.curriculum == Curriculum::kForward
                      ? step * config_.heads >= head * all
                      : step * config_.heads < (config_.heads - head) * all;
  return on ? weight : 0.0;
}

void IndependentHeads::Declare(Plan& plan) {
  const Geometry& g = context_.geometry;
  const Shape shape{g.local_rows(), context_.hidden};
  meter_.Declare(plan);
  d_sum_ = plan.Slot("d_trunk", shape, g.compute, Life::kSaved);
  if (!plan.training() && draft_heads() > 0) {
    tap_ = plan.Slot("tap", shape, g.compute, Life::kSaved);
    state_.Declare(plan, context_.hidden);
  }
  for (int i = 0; i < static_cast<int>(heads_.size()); ++i) {
    Head& head = heads_[i];
    const size_t before = plan.gradient_uses().size();
    const auto turn = plan.Turning();
    head.delta = plan.Slot("head_delta", shape, g.compute, Life::kSaved);
    head.d = plan.Slot("d_head", shape, g.compute, Life::kSaved);
    const bool again = context_.block("").recompute == Recompute::kFull;
    if (again) head.h = plan.Slot("head_h", shape, g.compute, Life::kSaved);
    {
      const auto group = plan.As({.optional = true, .head = i});
      head.block.Declare(plan, head.h, head.delta, /*has_delta=*/true);
    }
    head.readout.Declare(plan);
    head.gradients.assign(plan.gradient_uses().begin() + before, plan.gradient_uses().end());
  }
}

void IndependentHeads::Run(Step& step, const Taps& taps) {
  const Training* training = step.training();
  const Tensor d_sum = training != nullptr ? step.Slot(d_sum_) : Tensor{};
  for (int i = 0; i < static_cast<int>(heads_.size()); ++i) {
    Head& head = heads_[i];
    if (training != nullptr && !training->Trains(i)) {
      for (const ParamId id : head.gradients) step.SkipGrad(id);
      continue;
    }
    const Residual out = head.block.Forward(step, taps.out, taps.rope);
    // The first head's gradient starts the sum.
    const Tensor d = training == nullptr ? Tensor{} : i == 0 ? d_sum : step.Slot(head.d);
    head.readout.Run(step, meter_, i, out, d);
    if (training == nullptr) continue;
    head.block.Backward(step, d, taps.rope);
    if (i > 0) Add(step.stream(), {.out = d_sum, .a = d_sum, .b = d});
  }
  if (taps.d_out) CopyBytes(step.stream(), taps.d_out.data, d_sum.data, d_sum.bytes());
}

void IndependentHeads::Logits(Step& step, const Taps& taps, int64_t row, Tensor logits) {
  if (draft_heads() > 0) {
    Tensor tap = taps.out.h;
    if (taps.out.delta) {
      tap = step.Slot(tap_);
      Add(step.stream(), {.out = tap, .a = taps.out.h, .b = taps.out.delta});
    }
    state_.Store(step, tap);
  }
  heads_[0].readout.Logits(step, heads_[0].block.Forward(step, taps.out, taps.rope), row, logits);
}

void IndependentHeads::DraftLogits(Step& step, int k, const Taps& taps, int64_t row,
                                   Tensor logits) {
  const Tensor tap = step.Slot(tap_);
  state_.Load(step, tap);
  Head& head = heads_[k];
  head.readout.Logits(step, head.block.Forward(step, {.h = tap, .delta = {}}, taps.rope), row,
                      logits);
}

}  // namespace tl
