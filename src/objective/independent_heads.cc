// SPDX-License-Identifier: Apache-2.0
#include "objective/independent_heads.h"

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "kernels/elementwise.h"
#include "kernels/step_scalars.h"

namespace tl {
namespace {

absl::Status ValidateIndependentHeads(const Config& config) {
  const auto c = SettingsOf<IndependentHeadsSettings>(config.objective);
  TL_RETURN_IF_ERROR(CheckHeadCount(config.objective, "heads", c.heads, kMaxHeads));
  if (!c.weights.empty() && static_cast<int64_t>(c.weights.size()) != c.heads) {
    return absl::InvalidArgumentError(
        absl::StrCat("[objective] weights has ", c.weights.size(),
                     " numbers: expected one for each of heads = ", c.heads));
  }
  if (c.curriculum_steps > 0 && c.curriculum == Curriculum::kNone) {
    return absl::InvalidArgumentError(
        absl::StrCat("[objective] curriculum_steps = ", c.curriculum_steps,
                     ": expected a curriculum, \"forward\" or \"reverse\""));
  }
  if (c.match_parameters && c.heads >= config.model.layers) {
    return absl::InvalidArgumentError(absl::StrCat(
        "[objective] match_parameters takes heads = ", c.heads, " blocks from [model] layers = ",
        config.model.layers, ": expected to leave at least 1 in the trunk"));
  }
  return absl::OkStatus();
}

}  // namespace

const char* Name(Curriculum curriculum) {
  switch (curriculum) {
    case Curriculum::kNone:
      return "none";
    case Curriculum::kForward:
      return "forward";
    case Curriculum::kReverse:
      return "reverse";
  }
  return "?";
}

const ObjectiveKeys<IndependentHeadsSettings>& IndependentHeadsSettings::Keys() {
  using C = IndependentHeadsSettings;
  static const auto* const keys = [] {
    auto* k = new ObjectiveKeys<C>;
    k->Key("heads", &C::heads, "independent_heads: heads, the main one included").In(kZeroOrMore);
    k->Key("weights", &C::weights, "independent_heads: of each head's loss; []: all 1")
        .In(kPositive);
    k->Key("match_parameters", &C::match_parameters,
           "independent_heads: the heads' blocks are taken from the trunk's [model] layers");
    k->Key("curriculum", &C::curriculum,
           "independent_heads: forward: heads join one by one; reverse: they leave one by one");
    k->Key("curriculum_steps", &C::curriculum_steps, "steps over which they do; 0: all")
        .In(kZeroOrMore);
    return k;
  }();
  return *keys;
}

ObjectiveDescriptor IndependentHeads::Descriptor() {
  using C = IndependentHeadsSettings;
  return {.name = "independent_heads",
          .keys = C::Keys().rows(),
          .validate = ValidateIndependentHeads,
          .heads = [](const ObjectiveConfig& o) { return SettingsOf<C>(o).heads; },
          .trunk_layers =
              [](const ObjectiveConfig& o, int64_t layers) {
                const auto c = SettingsOf<C>(o);
                return c.match_parameters ? layers - c.heads : layers;
              },
          .drafter = "heads",
          .make = Make<IndependentHeads>};
}

IndependentHeads::IndependentHeads(const ObjectiveConfig& config, const ObjectiveContext& context)
    : Objective(context),
      config_(SettingsOf<IndependentHeadsSettings>(config)),
      meter_(context.geometry) {
  for (int64_t i = 1; i <= config_.heads; ++i) {
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
  d_sum_ = plan.GradientSlot("d_trunk", shape, g.compute, Life::kSaved);
  if (!plan.has_backward() && draft_heads() > 0) {
    tap_ = plan.Slot("tap", shape, g.compute, Life::kSaved);
    state_.Declare(plan, context_.hidden);
  }
  for (int i = 0; i < static_cast<int>(heads_.size()); ++i) {
    Head& head = heads_[i];
    const size_t before = plan.gradient_uses().size();
    const auto turn = plan.Turning();
    head.delta = plan.Slot("head_delta", shape, g.compute, Life::kSaved);
    head.d = plan.GradientSlot("d_head", shape, g.compute, Life::kSaved);
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
    TL_CHECK(!taps.out.gate) << "the stream's end is added without a gate";
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
