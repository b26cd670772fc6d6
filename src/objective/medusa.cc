// SPDX-License-Identifier: Apache-2.0
#include "objective/medusa.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "kernels/elementwise.h"
#include "kernels/residual_silu.h"
#include "kernels/step_scalars.h"
#include "nn/embedding.h"

namespace tl {
namespace {

// The head's own, or the trunk's.
ParamSpec Unembedding(const MedusaSettings& config, const ObjectiveContext& context,
                      const std::string& head) {
  if (!config.own_unembedding) return context.unembedding;
  ParamSpec spec = VocabularySpec(head + ".lm_head.weight", context.vocab, context.hidden,
                                  context.unembedding.init_std);
  spec.parts[0].copy_of = context.unembedding.name;
  return spec;
}

absl::Status ValidateMedusa(const Config& config) {
  const auto c = SettingsOf<MedusaSettings>(config.objective);
  TL_RETURN_IF_ERROR(CheckHeadCount(config.objective, "heads", c.heads, kMaxHeads - 1));
  if (c.freeze_trunk && c.head_weight != MedusaSettings().head_weight) {
    return absl::InvalidArgumentError(
        absl::StrCat("[objective] head_weight = ", c.head_weight,
                     ": there is no other loss to weigh against with freeze_trunk"));
  }
  return absl::OkStatus();
}

}  // namespace

const ObjectiveKeys<MedusaSettings>& MedusaSettings::Keys() {
  using C = MedusaSettings;
  static const auto* const keys = [] {
    auto* k = new ObjectiveKeys<C>;
    k->Key("heads", &C::heads, "medusa: heads beside the main one").In(kZeroOrMore);
    k->Key("freeze_trunk", &C::freeze_trunk,
           "medusa (its stage 1): the heads alone are trained, on the trunk of [run] init_from");
    k->Key("residual_layers", &C::residual_layers, "medusa: residual layers of a head").In(kCount);
    k->Key("own_unembedding", &C::own_unembedding,
           "medusa: each head has an unembedding of its own, at first a copy of the trunk's");
    k->Key("distill", &C::distill,
           "medusa: the heads learn the trunk's own distribution of each token, not the text's");
    k->Key("head_weight", &C::head_weight,
           "medusa, stage 2: weight of the heads' losses beside the main one")
        .In(kPositive);
    k->Key("decay", &C::decay, "medusa: head k's loss is weighted by decay^k")
        .In({0, 1, Range::kAboveLow});
    k->Key("lr_scale", &C::lr_scale, "medusa: the heads' learning rate over that of the trunk")
        .In(kPositive);
    k->Key("warmup_steps", &C::warmup_steps, "medusa: steps of linear rise of the heads' weight")
        .In(kZeroOrMore);
    return k;
  }();
  return *keys;
}

ObjectiveDescriptor Medusa::Descriptor() {
  using C = MedusaSettings;
  return {.name = "medusa",
          .keys = C::Keys().rows(),
          .validate = ValidateMedusa,
          .heads = [](const ObjectiveConfig& o) { return SettingsOf<C>(o).heads + 1; },
          .freezes_trunk = [](const ObjectiveConfig& o) { return SettingsOf<C>(o).freeze_trunk; },
          .drafter = "heads",
          .formats = {"medusa", "medusa-original"},
          .make = Make<Medusa>};
}

Medusa::Medusa(const ObjectiveConfig& config, const ObjectiveContext& context)
    : Objective(context),
      config_(SettingsOf<MedusaSettings>(config)),
      meter_(context.geometry),
      main_(context, "final_norm.weight", Plan::Use::kTrain, Life::kSaved) {
  for (int64_t k = 1; k <= config_.heads; ++k) {
    const std::string name = "medusa." + std::to_string(k);
    heads_.push_back(
        {.name = name,
         .layers = std::vector<Layer>(config_.residual_layers),
         .loss = LmLoss({.weight = Unembedding(config_, context, name),
                         .chunk = context.loss_chunk,
                         .z_loss = context.z_loss,
                         .teacher = config_.distill ? context.unembedding : ParamSpec{}},
                        context.geometry)});
  }
}

double Medusa::Weight(int head, int64_t step, int64_t) const {
  if (head == 0) return config_.freeze_trunk ? 0.0 : 1.0;
  const double weight = std::pow(config_.decay, head);
  const double rise =
      config_.warmup_steps > 0
          ? std::min(1.0, static_cast<double>(step + 1) / static_cast<double>(config_.warmup_steps))
          : 1.0;
  return rise * weight * (config_.freeze_trunk ? 1.0 : config_.head_weight);
}

void Medusa::DeclareHead(Plan& plan, Head& head) {
  const Geometry& g = context_.geometry;
  const Shape shape{g.local_rows(), context_.hidden};
  const auto turn = plan.Turning();
  const auto group = plan.As({.lr_scale = config_.lr_scale, .optional = true});
  const auto slot = [&](const char* name) {
    return plan.Slot(head.name + name, shape, g.compute, Life::kSaved);
  };
  const auto gradient = [&](const char* name) {
    return plan.GradientSlot(head.name + name, shape, g.compute, Life::kSaved);
  };
  for (size_t i = 0; i < head.layers.size(); ++i) {
    Layer& layer = head.layers[i];
    const std::string name = head.name + ".blocks." + std::to_string(i);
    layer.a = slot(".a");
    layer.y = slot(".y");
    layer.d_a = gradient(".d_a");
    layer.linear.Declare(
        plan,
        {.name = name + ".weight",
         .parts = {{.name = name + ".weight", .shape = {context_.hidden, context_.hidden}}},
         .init = InitKind::kZeros,
         .reduce = g.row_reduce()},
        {.name = name + ".bias",
         .parts = {{.name = name + ".bias", .shape = {context_.hidden}}},
         .init = InitKind::kZeros,
         .kind = ParamKind::kBias,
         .reduce = g.row_reduce()});
  }
  head.d_y = gradient(".d_y");
  head.d_x = gradient(".d_x");
  head.loss.Declare(plan);
}

void Medusa::Declare(Plan& plan) {
  meter_.Declare(plan);
  {
    const auto group = plan.As({.frozen = config_.freeze_trunk});
    main_.Declare(plan);
  }
  if (!plan.has_backward()) {
    loaded_ = plan.Slot("loaded", {context_.geometry.local_rows(), context_.hidden},
                        context_.geometry.compute, Life::kSaved);
    state_.Declare(plan, context_.hidden);
  }
  for (Head& head : heads_) DeclareHead(plan, head);
}

Tensor Medusa::Layers(Step& step, Head& head, Tensor y) {
  for (Layer& layer : head.layers) {
    const Tensor a = step.Slot(layer.a).Slice(0, 0, y.shape[0]);
    const Tensor out = step.Slot(layer.y).Slice(0, 0, y.shape[0]);
    layer.linear.Forward(step, a, y);
    ResidualSilu(step.stream(), {.y = out, .x = y, .a = a});
    y = out;
  }
  return y;
}

void Medusa::RunHead(Step& step, int k, Tensor y, Tensor d_y) {
  const bool training = step.training() != nullptr;
  Head& head = heads_[k - 1];
  Stream& stream = step.stream();
  const Tensor at = Layers(step, head, y);
  const Tensor d = training ? step.Slot(head.d_y) : Tensor{};
  meter_.Run(step, head.loss, k, at, d, config_.distill ? y : Tensor{});
  if (!training) return;
  for (size_t i = head.layers.size(); i-- > 0;) {
    Layer& layer = head.layers[i];
    const Tensor d_a = step.Slot(layer.d_a), d_x = step.Slot(head.d_x);
    ResidualSiluBackward(stream, {.d_a = d_a, .dy = d, .a = step.Slot(layer.a)});
    layer.linear.Backward(step, d_x, d_a, i == 0 ? y : step.Slot(head.layers[i - 1].y));
    Add(stream, {.out = d, .a = d, .b = d_x});
  }
  if (d_y) Add(stream, {.out = d_y, .a = d_y, .b = d});
}

void Medusa::Run(Step& step, const Taps& taps) {
  const bool trains_main = step.training() != nullptr && !config_.freeze_trunk;
  const Tensor y = main_.Forward(step, taps.out);
  const Tensor d_y = main_.Loss(step, meter_, 0, trains_main);
  for (int k = 1; k <= static_cast<int>(heads_.size()); ++k) RunHead(step, k, y, d_y);
  if (taps.d_out) main_.Backward(step, taps.d_out, d_y);
}

void Medusa::Logits(Step& step, const Taps& taps, int64_t row, Tensor logits) {
  state_.Store(step, main_.Forward(step, taps.out));
  main_.Logits(step, row, logits);
}

void Medusa::DraftLogits(Step& step, int k, const Taps&, int64_t row, Tensor logits) {
  const int64_t count = logits.shape[0];
  if (count == 0) return;  // heads without a past
  const Tensor y = step.Slot(loaded_);
  state_.Load(step, y);
  Head& head = heads_[k - 1];
  head.loss.Logits(step, logits, Layers(step, head, y.Slice(0, row, row + count)));
}

}  // namespace tl
