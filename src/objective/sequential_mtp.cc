// SPDX-License-Identifier: Apache-2.0
#include "objective/sequential_mtp.h"

#include "kernels/step_scalars.h"

namespace tl {

const char* Name(HiddenTap hidden) {
  switch (hidden) {
    case HiddenTap::kFinalNorm:
      return "final_norm";
    case HiddenTap::kStream:
      return "stream";
  }
  return "?";
}

const ObjectiveKeys<SequentialMtpSettings>& SequentialMtpSettings::Keys() {
  using C = SequentialMtpSettings;
  static const auto* const keys = [] {
    auto* k = new ObjectiveKeys<C>;
    k->Key("depth", &C::depth, "sequential_mtp: modules, one further token each").In(kZeroOrMore);
    k->Key("share_weights", &C::share_weights, "sequential_mtp: one module, unrolled");
    k->Key("hidden", &C::hidden,
           "sequential_mtp: what the first module is fed: the trunk's state after its final norm, "
           "or its residual stream");
    k->Key("detach_hidden", &C::detach_hidden,
           "sequential_mtp: no gradient from the modules into the trunk's state");
    k->Key("detach_shared", &C::detach_shared,
           "sequential_mtp: no gradient from the modules into the shared embedding and "
           "unembedding");
    k->Key("lambda", &C::lambda, "sequential_mtp: weight of the modules' mean loss")
        .In(kZeroOrMore);
    k->Key("lambda_late", &C::lambda_late, "sequential_mtp: the same, late in training")
        .In(kZeroOrMore);
    k->Key("late_after", &C::late_after,
           "sequential_mtp: fraction of the steps after which it is late")
        .In({0, 1});
    k->Key("freeze_trunk", &C::freeze_trunk,
           "sequential_mtp: the heads alone are trained, on the trunk of [run] init_from");
    return k;
  }();
  return *keys;
}

ObjectiveDescriptor SequentialMtp::Descriptor() {
  using C = SequentialMtpSettings;
  return {.name = "sequential_mtp",
          .keys = C::Keys().rows(),
          .validate =
              [](const Config& c) {
                return CheckHeadCount(c.objective, "depth", SettingsOf<C>(c.objective).depth,
                                      kMaxHeads - 1);
              },
          .heads = [](const ObjectiveConfig& o) { return SettingsOf<C>(o).depth + 1; },
          .freezes_trunk = [](const ObjectiveConfig& o) { return SettingsOf<C>(o).freeze_trunk; },
          .drafter = "mtp",
          .formats = {"mimo"},
          .make = Make<SequentialMtp>};
}

SequentialMtp::SequentialMtp(const ObjectiveConfig& config, const ObjectiveContext& context)
    : Objective(context),
      config_(SettingsOf<SequentialMtpSettings>(config)),
      meter_(context.geometry),
      main_(context, "final_norm.weight", Plan::Use::kTrain, Life::kSaved) {
  if (config_.freeze_trunk) config_.detach_hidden = config_.detach_shared = true;
  for (int64_t k = 1; k <= config_.depth; ++k)
    modules_.push_back(MakeModule(config_.share_weights ? 1 : static_cast<int>(k)));
}

SequentialMtp::Module SequentialMtp::MakeModule(int k) const {
  const std::string name = "mtp." + std::to_string(k);
  const auto use = config_.detach_shared ? Plan::Use::kRead : Plan::Use::kTrain;
  return {
      .name = name,
      .hidden_norm = Norm(name + ".hidden_norm.weight", context_.hidden, context_.norm_eps),
      .embedding_norm = Norm(name + ".embedding_norm.weight", context_.hidden, context_.norm_eps),
      .embedding = TokenEmbedding(context_.embedding, context_.geometry, use),
      .projection = {},
      .block = Block(context_.block(name + ".block"), context_.geometry),
      .readout = Readout(context_, name + ".final_norm.weight", use, Life::kSaved),
      .hidden = {}};
}

double SequentialMtp::Weight(int head, int64_t step, int64_t steps) const {
  if (head == 0) return config_.freeze_trunk ? 0.0 : 1.0;
  const bool late = static_cast<double>(step) >= config_.late_after * static_cast<double>(steps);
  return (late ? config_.lambda_late : config_.lambda) / static_cast<double>(config_.depth);
}

void SequentialMtp::DeclareModule(Plan& plan, Module& m, int head) {
  const Geometry& g = context_.geometry;
  const int64_t rows = g.local_rows(), hidden = context_.hidden;
  const auto slot = [&](const char* name, int64_t width) {
    return plan.Slot(m.name + name, {rows, width}, g.compute, Life::kSaved);
  };
  const auto gradient = [&](const char* name, int64_t width) {
    return plan.GradientSlot(m.name + name, {rows, width}, g.compute, Life::kSaved);
  };
  m.embedded = slot(".embedded", hidden);
  m.joined = slot(".joined", 2 * hidden);
  m.input = slot(".input", hidden);
  m.delta = slot(".delta", hidden);
  m.d = gradient(".d", hidden);
  m.d_joined = gradient(".d_joined", 2 * hidden);
  m.d_embedded = gradient(".d_embedded", hidden);
  if (context_.block("").recompute == Recompute::kFull) m.h = slot(".h", hidden);
  m.embedding.Declare(plan);
  {
    // Where this head weighs nothing, or has no targets, those after it do not either.
    const auto group = plan.As({.optional = true, .head = head});
    m.hidden_norm.Declare(plan, rows, 0, g.row_reduce());
    m.embedding_norm.Declare(plan, rows, 0, g.row_reduce());
    const std::string name = m.name + ".projection.weight";
    m.projection.Declare(plan, {.name = name,
                                .parts = {{.name = name, .shape = {hidden, 2 * hidden}}},
                                .init_std = context_.unembedding.init_std,
                                .reduce = g.row_reduce()});
    m.block.Declare(plan, m.h, m.delta, /*has_delta=*/false);
    m.readout.Declare(plan);
  }
}

void SequentialMtp::Declare(Plan& plan) {
  const Geometry& g = context_.geometry;
  meter_.Declare(plan);
  const Shape shape{g.local_rows(), context_.hidden};
  if (config_.freeze_trunk) {
    tap_ = plan.Slot("tap", shape, g.compute, Life::kSaved);
  } else {
    d_tap_ = plan.GradientSlot("d_tap", shape, g.compute, Life::kSaved);
  }
  {
    const auto group = plan.As({.frozen = config_.freeze_trunk});
    main_.Declare(plan);
  }
  for (size_t i = 0; i < modules_.size(); ++i)
    DeclareModule(plan, modules_[i], static_cast<int>(i) + 1);
  if (plan.has_backward()) return;
  loaded_ = plan.Slot("loaded", shape, g.compute, Life::kSaved);
  states_.resize(modules_.size());
  for (RowState& state : states_) state.Declare(plan, context_.hidden);
}

Tensor SequentialMtp::Tokens(Step& step, int k) const {
  const Inputs& inputs = step.inputs();
  if (step.cached() != nullptr) return inputs.tokens;
  return k == 1 ? inputs.inner_targets : inputs.Targets(k);
}

Tensor SequentialMtp::Forward(Step& step, int k, Tensor hidden, Tensor rope) {
  Module& m = modules_[k - 1];
  m.hidden = hidden;
  const Tensor embedded = step.Slot(m.embedded), joined = step.Slot(m.joined);
  const int64_t width = context_.hidden;
  m.embedding.Forward(step, embedded, Tokens(step, k));
  m.hidden_norm.Forward(step, joined.Slice(1, 0, width), hidden);
  m.embedding_norm.Forward(step, joined.Slice(1, width, 2 * width), embedded);
  const Tensor input = step.Slot(m.input);
  m.projection.Forward(step, input, joined);
  return m.readout.Forward(step, m.block.Forward(step, {.h = input, .delta = {}}, rope));
}

void SequentialMtp::Backward(Step& step, int k, Tensor d_y, Tensor d_hidden, Tensor rope) {
  Module& m = modules_[k - 1];
  const Tensor d = step.Slot(m.d), d_joined = step.Slot(m.d_joined);
  const int64_t width = context_.hidden;
  m.readout.Backward(step, d, d_y);
  m.block.Backward(step, d, rope);
  m.projection.Backward(step, d_joined, d, step.Slot(m.joined));
  const Tensor d_embedded = step.Slot(m.d_embedded);
  m.hidden_norm.Backward(step, d_hidden ? d_hidden : d_embedded, d_joined.Slice(1, 0, width),
                         m.hidden, d_hidden);
  m.embedding_norm.Backward(step, d_embedded, d_joined.Slice(1, width, 2 * width),
                            step.Slot(m.embedded), {});
  if (!config_.detach_shared) m.embedding.Backward(step, d_embedded, Tokens(step, k));
}

void SequentialMtp::Run(Step& step, const Taps& taps) {
  const bool training = step.training() != nullptr;
  const bool stream = config_.hidden == HiddenTap::kStream;
  const Tensor y = main_.Forward(step, taps.out);
  const int depth = static_cast<int>(modules_.size());
  std::vector<Tensor> d_ys = {main_.Loss(step, meter_, 0, training && !config_.freeze_trunk)};
  Tensor hidden = stream ? main_.sum() : y;
  if (config_.freeze_trunk) {
    // What is frozen does not live until the modules' backward pass.
    const Tensor tap = step.Slot(tap_);
    CopyBytes(step.stream(), tap.data, hidden.data, tap.bytes());
    hidden = tap;
  }
  for (int k = 1; k <= depth; ++k) {
    hidden = Forward(step, k, hidden, taps.rope);
    d_ys.push_back(modules_[k - 1].readout.Loss(step, meter_, k, training));
  }
  if (!training) return;
  // The gradient that module 1 sends to where it taps the trunk.
  Tensor d_tap;
  if (!config_.detach_hidden && stream) {
    d_tap = step.Slot(d_tap_);
    ZeroBytes(step.stream(), d_tap.data, d_tap.bytes());
  } else if (!config_.detach_hidden) {
    d_tap = d_ys[0];
  }
  for (int k = depth; k >= 1; --k)
    Backward(step, k, d_ys[k], k > 1 ? d_ys[k - 1] : d_tap, taps.rope);
  if (taps.d_out) main_.Backward(step, taps.d_out, d_ys[0], stream ? d_tap : Tensor{});
}

void SequentialMtp::Logits(Step& step, const Taps& taps, int64_t row, Tensor logits) {
  const Tensor y = main_.Forward(step, taps.out);
  states_[0].Store(step, config_.hidden == HiddenTap::kStream ? main_.sum() : y);
  main_.Logits(step, row, logits);
}

void SequentialMtp::DraftLogits(Step& step, int k, const Taps& taps, int64_t row, Tensor logits) {
  const Tensor hidden = step.Slot(loaded_);
  states_[k - 1].Load(step, hidden);
  const Tensor y = Forward(step, k, hidden, taps.rope);
  if (k < draft_heads()) states_[k].Store(step, y);
  modules_[k - 1].readout.Logits(step, row, logits);
}

}  // namespace tl
