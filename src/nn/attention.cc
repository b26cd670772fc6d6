// SPDX-License-Identifier: Apache-2.0
#include "nn/attention.h"

#include <algorithm>

#include "kernels/cached_attention.h"
#include "kernels/kv_cache.h"
#include "kernels/rope.h"
#include "nn/kv_cache.h"

namespace tl {

SelfAttention::SelfAttention(AttentionConfig config, Geometry geometry)
    : config_(std::move(config)),
      geometry_(geometry),
      local_heads_(config_.heads / geometry.tensor_size),
      local_kv_heads_(std::max<int64_t>(1, config_.kv_heads / geometry.tensor_size)),
      q_norm_(config_.name + ".q_norm.weight", config_.head_dim, config_.norm_eps),
      k_norm_(config_.name + ".k_norm.weight", config_.head_dim, config_.norm_eps) {}

void SelfAttention::Declare(Plan& plan) {
  const auto& c = config_;
  const auto& g = geometry_;
  const int64_t d = c.head_dim, rows = g.rows();
  const int replicas =
      static_cast<int>(std::max<int64_t>(1, g.tensor_size / std::max<int64_t>(1, c.kv_heads)));
  const auto part = [&](const char* what, const char* kind, int64_t heads, int copies) {
    const bool bias = std::string(kind) == "bias";
    return ParamPart{.name = c.name + "." + what + "." + kind,
                     .shape = bias ? Shape{heads * d} : Shape{heads * d, c.hidden},
                     .split_axis = 0,
                     .replicas = copies};
  };
  const auto fused = [&](const char* kind) {
    return std::vector<ParamPart>{part("q", kind, c.heads, 1),
                                  part("k", kind, c.kv_heads, replicas),
                                  part("v", kind, c.kv_heads, replicas)};
  };
  const auto reduce = replicas > 1 ? TensorReduce::kReplicas : TensorReduce::kNone;
  const ParamSpec weight{.name = c.name + ".qkv.weight",
                         .parts = fused("weight"),
                         .init_std = c.init_std,
                         .reduce = reduce};
  if (c.causal) cache_ = plan.Cache({.heads = local_kv_heads_, .head_dim = d});
  const auto scope = plan.Enter();
  x_full_.Declare(plan, g, "x_full", c.hidden, Life::kForward);
  x_full_backward_.Declare(plan, g, "x_full", c.hidden, Life::kBackward);
  dx_full_.Declare(plan, g, "dx_full", c.hidden, Life::kBackward);
  if (c.qkv_bias) {
    qkv_linear_.Declare(plan, weight,
                        {.name = c.name + ".qkv.bias",
                         .parts = fused("bias"),
                         .init = InitKind::kZeros,
                         .kind = ParamKind::kBias,
                         .reduce = reduce});
  } else {
    qkv_linear_.Declare(plan, weight);
  }
  const double keys =
      c.causal ? MeanKeys(g.sequence_length, c.window) : static_cast<double>(g.sequence_length);
  plan.Product(AttentionFlops(1, c.heads, d, keys), Plan::Gradients::kBoth);
  plan.Scratch(Plan::When::kBackward, [g, heads = local_heads_, kv_heads = local_kv_heads_, d] {
    return AttentionBackwardScratch({.batch = g.batch,
                                     .tq = g.sequence_length,
                                     .tk = g.sequence_length,
                                     .q_heads = heads,
                                     .k_heads = kv_heads,
                                     .d = d});
  });
  if (c.causal)
    plan.CachedScratch([rows, heads = local_heads_, d, window = c.window](int64_t capacity) {
      return CachedAttentionScratch(rows, heads, d, capacity, window);
    });
  const int64_t qk_size = (local_heads_ + local_kv_heads_) * d;
  const int64_t qkv_size = qk_size + local_kv_heads_ * d;
  qkv_ = plan.Slot("qkv", {rows, qkv_size}, g.compute, Life::kSaved);
  d_qkv_ = plan.Slot("d_qkv", {rows, qkv_size}, g.compute, Life::kBackward);
  if (c.qk_norm) {
    const auto norm_reduce = g.tensor_size > 1 ? TensorReduce::kGroup : TensorReduce::kNone;
    qk_ = plan.Slot("qk", {rows, qk_size}, g.compute, Life::kSaved);
    q_norm_.Declare(plan, rows, local_heads_, norm_reduce);
    k_norm_.Declare(plan, rows, local_kv_heads_, norm_reduce);
  }
  x_full_.End(plan);
  o_ = plan.Slot("o", {rows, local_heads_ * d}, g.compute, Life::kSaved);
  lse_ = plan.Slot("lse", {g.batch, local_heads_, g.sequence_length}, DType::kF32, Life::kSaved);
  delta_ =
      plan.Slot("delta", {g.batch, local_heads_, g.sequence_length}, DType::kF32, Life::kBackward);
  d_o_ = plan.Slot("d_o", {rows, local_heads_ * d}, g.compute, Life::kBackward);
  y_full_.Declare(plan, g, "y_full", c.hidden, Life::kForward);
  dy_full_.Declare(plan, g, "dy_full", c.hidden, Life::kBackward);
  out_linear_.Declare(plan, {.name = c.name + ".out.weight",
                             .parts = {{.name = c.name + ".out.weight",
                                        .shape = {c.hidden, c.heads * d},
                                        .split_axis = 1}},
                             .init_std = c.out_init_std});
}

SelfAttention::Heads SelfAttention::Views(Tensor qkv, Tensor qk) const {
  const int64_t d = config_.head_dim, q = local_heads_ * d, kv = local_kv_heads_ * d;
  const auto heads = [&](Tensor x, int64_t begin, int64_t end) {
    return x.Slice(1, begin, end).SplitAxis(0, geometry_.sequence_length).SplitAxis(-1, d);
  };
  return {heads(qk, 0, q), heads(qk, q, q + kv), heads(qkv, q + kv, q + 2 * kv)};
}

void SelfAttention::Rotate(Step& step, Tensor x, Tensor rope, bool inverse) const {
  const int64_t size = (local_heads_ + local_kv_heads_) * config_.head_dim;
  Rope(step.stream(), {.x = x.Slice(1, 0, size).SplitAxis(1, config_.head_dim),
                       .positions = step.inputs().positions,
                       .table = rope,
                       .direction = inverse ? RopeDirection::kInverse : RopeDirection::kForward});
}

AttentionMask SelfAttention::Mask(const Step& step) const {
  if (!config_.causal) return {.kind = MaskKind::kNone};
  return {.kind = config_.window > 0 ? MaskKind::kWindow : MaskKind::kCausal,
          .window = config_.window,
          .q_segments = step.inputs().segments,
          .k_segments = step.inputs().segments};
}

void SelfAttention::AttendWhole(Step& step, Tensor o, Tensor qkv, Tensor qk) const {
  const Heads heads = Views(qkv, qk);
  Attention(step.stream(),
            {.o = o.SplitAxis(0, geometry_.sequence_length).SplitAxis(-1, config_.head_dim),
             .lse = step.Slot(lse_),
             .q = heads.q,
             .k = heads.k,
             .v = heads.v,
             .mask = Mask(step)});
}

void SelfAttention::AttendCached(Step& step, Tensor o, Tensor qkv, Tensor qk) const {
  const CachedRows& rows = *step.cached();
  const int64_t d = config_.head_dim, q = local_heads_ * d, kv = local_kv_heads_ * d;
  const auto heads = [&](Tensor x, int64_t begin, int64_t end) {
    return x.Slice(1, begin, end).SplitAxis(1, d);
  };
  const Tensor keys = rows.cache->keys(cache_), values = rows.cache->values(cache_);
  CacheStore(step.stream(), {.k_cache = keys,
                             .v_cache = values,
                             .k = heads(qk, q, q + kv),
                             .v = heads(qkv, q + kv, q + 2 * kv),
                             .sequences = rows.sequences,
                             .indices = rows.indices});
  CachedAttention(step.stream(), {.o = o.SplitAxis(1, d),
                                  .q = heads(qk, 0, q),
                                  .k = keys,
                                  .v = values,
                                  .sequences = rows.sequences,
                                  .prefix = rows.prefix,
                                  .ancestors = rows.ancestors,
                                  .window = config_.window,
                                  .most_keys = rows.most_keys});
}

void SelfAttention::Forward(Step& step, Tensor y, Tensor x, Tensor rope) {
  const Tensor qkv = step.Slot(qkv_);
  qkv_linear_.Forward(step, qkv, x_full_.Gather(step, x));
  Tensor qk = qkv;
  if (config_.qk_norm) {
    qk = step.Slot(qk_);
    const int64_t d = config_.head_dim, q = local_heads_ * d, kv = local_kv_heads_ * d;
    q_norm_.Forward(step, qk.Slice(1, 0, q).SplitAxis(1, d), qkv.Slice(1, 0, q).SplitAxis(1, d));
    k_norm_.Forward(step, qk.Slice(1, q, q + kv).SplitAxis(1, d),
                    qkv.Slice(1, q, q + kv).SplitAxis(1, d));
  }
  Rotate(step, qk, rope, /*inverse=*/false);
  const Tensor o = step.Slot(o_);
  if (step.cached() != nullptr) {
    AttendCached(step, o, qkv, qk);
  } else {
    AttendWhole(step, o, qkv, qk);
  }
  step.Progress();
  out_linear_.Forward(step, y_full_.Partial(step, y), o);
  y_full_.Reduce(step, y);
}

void SelfAttention::Backward(Step& step, Tensor dx, Tensor dy, Tensor x, Tensor rope) {
  const int64_t d = config_.head_dim;
  const Tensor dy_full = dy_full_.Gather(step, dy);
  const Tensor o = step.Slot(o_), d_o = step.Slot(d_o_);
  out_linear_.Backward(step, d_o, dy_full, o);
  const Tensor qkv = step.Slot(qkv_), d_qkv = step.Slot(d_qkv_);
  const Tensor qk = config_.qk_norm ? step.Slot(qk_) : qkv;
  const Heads heads = Views(qkv, qk), d_heads = Views(d_qkv, d_qkv);
  const auto by_head = [&](Tensor t) {
    return t.SplitAxis(0, geometry_.sequence_length).SplitAxis(-1, d);
  };
  AttentionBackward(step.stream(), {.dq = d_heads.q,
                                    .dk = d_heads.k,
                                    .dv = d_heads.v,
                                    .delta = step.Slot(delta_),
                                    .d_o = by_head(d_o),
                                    .o = by_head(o),
                                    .lse = step.Slot(lse_),
                                    .q = heads.q,
                                    .k = heads.k,
                                    .v = heads.v,
                                    .mask = Mask(step)});
  step.Progress();
  Rotate(step, d_qkv, rope, /*inverse=*/true);
  if (config_.qk_norm) {
    const int64_t q = local_heads_ * d, kv = local_kv_heads_ * d;
    const auto view = [&](Tensor t, int64_t begin, int64_t end) {
      return t.Slice(1, begin, end).SplitAxis(1, d);
    };
    q_norm_.Backward(step, view(d_qkv, 0, q), view(d_qkv, 0, q), view(qkv, 0, q), {});
    k_norm_.Backward(step, view(d_qkv, q, q + kv), view(d_qkv, q, q + kv), view(qkv, q, q + kv),
                     {});
  }
  const Tensor x_full = x_full_backward_.Gather(step, x);
  qkv_linear_.Backward(step, dx_full_.Partial(step, dx), d_qkv, x_full);
  dx_full_.Reduce(step, dx);
}

}  // namespace tl
