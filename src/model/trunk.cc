#include "model/trunk.h"

#include <cmath>

#include "device/profiler_range.h"

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
          .dropout = options.dropout};
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
}

void Trunk::Declare(Plan& plan) {
  const Shape shape{geometry_.local_rows(), hidden_};
  stem_ = plan.Slot("stem", shape, geometry_.compute, Life::kSaved);
  // Blocks that keep nothing for a backward pass hand their stream on in shared memory.
  const bool keeps_stream = plan.training() && recompute_ != Recompute::kFull;
  if (!keeps_stream) stream_h_ = plan.Slot("stream_h", shape, geometry_.compute, Life::kSaved);
  stream_delta_ = plan.Slot("stream_delta", shape, geometry_.compute, Life::kSaved);
  d_stream_ = plan.Slot("d_stream", shape, geometry_.compute, Life::kBackward);
  bool has_delta = false;
  for (Block& block : blocks_) {
    block.Declare(plan, stream_h_, stream_delta_, has_delta);
    has_delta = true;
  }
}

Residual Trunk::Forward(Step& step, Tensor rope) {
  return Forward(step, {.h = step.Slot(stem_), .delta = {}}, rope, 0, layers());
}

Residual Trunk::Forward(Step& step, Residual stream, Tensor rope, int64_t first, int64_t last) {
  for (int64_t i = first; i < last; ++i) {
    const ProfilerRange range(names_[i].c_str());
    stream = blocks_[i].Forward(step, stream, rope);
  }
  return stream;
}

void Trunk::Backward(Step& step, Tensor rope) {
  const Tensor d_stream = step.Slot(d_stream_);
  for (size_t i = blocks_.size(); i-- > 0;) {
    const ProfilerRange range(backward_names_[i].c_str());
    blocks_[i].Backward(step, d_stream, rope);
  }
}

}  // namespace tl
