// SPDX-License-Identifier: Apache-2.0
#include "model/trunk.h"

#include <cmath>

#include "device/profiler_range.h"
#include "kernels/elementwise.h"

namespace tl {

BlockConfig MakeBlockConfig(const ModelConfig& model, const std::string& name,
                            const BlockOptions& options) {
  const double out_std = model.init_std / std::sqrt(2.0 * static_cast<double>(model.layers));
  return {.name = name,
          .attention = {.name = name + ".attention",
                        .hidden = model.hidden,
                        .heads = model.heads,
                        .kv_heads = model.kv_heads_or_default(),
                        .head_dim = model.head_dim_or_default(),
                        .qkv_bias = model.qkv_bias,
                        .qk_norm = model.qk_norm,
                        .norm_eps = model.norm_eps,
                        .window = model.sliding_window,
                        .causal = !model.of_values(),
                        .init_std = model.init_std,
                        .out_init_std = out_std},
          .mlp = {.name = name + ".mlp",
                  .hidden = model.hidden,
                  .ffn = model.ffn,
                  .init_std = model.init_std,
                  .out_init_std = out_std,
                  .recompute_activation = options.recompute == Recompute::kSelective},
          .norm_eps = model.norm_eps,
          .recompute = options.recompute,
          .dropout = options.dropout,
          .conditioned = model.of_values()};
}

Trunk::Trunk(const ModelConfig& model, int64_t layers, Geometry geometry,
             const BlockOptions& options)
    : geometry_(geometry), hidden_(model.hidden), recompute_(options.recompute) {
  blocks_.reserve(layers);
  for (int64_t i = 0; i < layers; ++i) {
    const std::string name = "layers." + std::to_string(i);
    names_.push_back(name);
    backward_names_.push_back(name + " backward");
    blocks_.emplace_back(MakeBlockConfig(model, name, options), geometry);
  }
  if (!model.of_values()) return;
  conditioner_.emplace(ConditionerConfig{.layers = layers,
                                         .hidden = model.hidden,
                                         .classes = model.classes,
                                         .init_std = model.init_std},
                       geometry);
}

void Trunk::Declare(Plan& plan, absl::Span<const TapSpec> taps) {
  const Shape shape{geometry_.local_rows(), hidden_};
  stem_ = plan.Slot("stem", shape, geometry_.compute, Life::kSaved);
  // Blocks that keep nothing for a backward pass hand their stream on in shared memory.
  const bool keeps_stream = plan.has_backward() && recompute_ != Recompute::kFull;
  if (!keeps_stream) stream_h_ = plan.Slot("stream_h", shape, geometry_.compute, Life::kSaved);
  // So does what a block adds last, unless its gate's gradient reads it.
  if (!keeps_stream || !conditioner_ || !plan.learns())
    stream_delta_ = plan.Slot("stream_delta", shape, geometry_.compute, Life::kSaved);
  d_stream_ = plan.Slot("d_stream", shape, geometry_.compute, Life::kBackward);
  has_backward_ = plan.has_backward();
  tap_of_.assign(blocks_.size(), -1);
  d_taps_.assign(taps.size(), -1);
  for (size_t k = 0; k < taps.size(); ++k) {
    TL_CHECK(0 <= taps[k].block && taps[k].block < layers()) << "no block " << taps[k].block;
    int& tap = tap_of_[taps[k].block];
    TL_CHECK_EQ(tap, -1) << "block " << taps[k].block << " is tapped twice";
    tap = static_cast<int>(k);
  }
  if (conditioner_) conditioner_->Declare(plan);
  for (int64_t i = 0; i < layers(); ++i) {
    const int k = tap_of_[i];
    // Around the block: it is read when the block's own backward pass is over.
    if (k >= 0 && taps[k].gradient && has_backward_)
      d_taps_[k] = plan.Slot(names_[i] + ".d_tap", shape, geometry_.compute, Life::kBackward);
    if (conditioner_) conditioner_->DeclareBlock(plan, i);
    blocks_[i].Declare(plan, stream_h_, stream_delta_, /*has_delta=*/i > 0, /*tapped=*/k >= 0);
    if (conditioner_) conditioner_->EndBlock(plan, i);
  }
  if (conditioner_) conditioner_->DeclareFinal(plan);
}

Taps Trunk::Forward(Step& step, Tensor rope) {
  if (conditioner_) conditioner_->Forward(step);
  return Forward(step, {.h = step.Slot(stem_), .delta = {}}, rope, 0, layers());
}

Taps Trunk::Forward(Step& step, Residual stream, Tensor rope, int64_t first, int64_t last) {
  const bool backward = has_backward_ && step.has_backward();
  Taps taps{.d_out = backward ? step.Slot(d_stream_) : Tensor{},
            .inputs = std::vector<Tap>(d_taps_.size()),
            .rope = rope};
  for (int64_t i = first; i < last; ++i) {
    const ProfilerRange range(names_[i].c_str());
    stream = blocks_[i].Forward(step, stream, rope,
                                conditioner_ ? conditioner_->block(step, i) : BlockModulation{});
    const int k = tap_of_[i];
    if (k < 0) continue;
    taps.inputs[k].x = blocks_[i].input();
    if (backward && d_taps_[k] >= 0) taps.inputs[k].d = step.Slot(d_taps_[k]);
  }
  taps.out = stream;
  if (!conditioner_) return taps;
  taps.final_norm = conditioner_->final_norm(step);
  if (backward) taps.d_final_norm = conditioner_->d_final_norm(step);
  return taps;
}

void Trunk::Backward(Step& step, const Taps& taps) {
  const Tensor d = taps.d_out;
  if (conditioner_) conditioner_->BackwardFinal(step);
  for (size_t i = blocks_.size(); i-- > 0;) {
    const ProfilerRange range(backward_names_[i].c_str());
    if (conditioner_) {
      blocks_[i].Backward(step, d, taps.rope, conditioner_->block(step, i),
                          conditioner_->d_block(step, i));
      conditioner_->BackwardBlock(step, i);
    } else {
      blocks_[i].Backward(step, d, taps.rope);
    }
    const int k = tap_of_[i];
    if (k >= 0 && taps.inputs[k].d) Add(step.stream(), {.out = d, .a = d, .b = taps.inputs[k].d});
  }
  if (conditioner_) conditioner_->Backward(step);
}

}  // namespace tl
