// SPDX-License-Identifier: Apache-2.0
// Self-attention with rotary positions and grouped key/value heads, heads divided over the tensor
// group; key/value heads are replicated where there are fewer than ranks.
#pragma once

#include <optional>
#include <string>

#include "kernels/attention.h"
#include "nn/linear.h"
#include "nn/norm.h"
#include "nn/whole_rows.h"

namespace tl {

struct AttentionConfig {
  std::string name;  // prefix of its parameters, "layers.0.attention"
  int64_t hidden = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  bool qkv_bias = false;
  bool qk_norm = false;
  double norm_eps = 1e-5;
  int64_t window = 0;  // 0: without one
  bool causal = true;  // false: rows of a sequence see each other both ways; no decoding
  double init_std = 0.02;
  double out_init_std = 0.02;
};

class SelfAttention {
 public:
  SelfAttention(AttentionConfig config, Geometry geometry);
  void Declare(Plan& plan);
  // rope: fp32 [positions, 2, head_dim / 2]. x, y: [local rows, hidden].
  void Forward(Step& step, Tensor y, Tensor x, Tensor rope);
  // dx, dy, x: [local rows, hidden]; dx may be dy.
  void Backward(Step& step, Tensor dx, Tensor dy, Tensor x, Tensor rope);

 private:
  struct Heads {
    Tensor q, k, v;  // [batch, T, heads, head_dim]
  };
  // Views of what goes into attention: rotated, and normed where the config says so.
  Heads Views(Tensor qkv, Tensor qk) const;
  void Rotate(Step& step, Tensor x, Tensor rope, bool inverse) const;  // x: qkv or qk
  AttentionMask Mask(const Step& step) const;
  // o = attention of the rows among themselves; of each row over its past, which gets its key.
  void AttendWhole(Step& step, Tensor o, Tensor qkv, Tensor qk) const;
  void AttendCached(Step& step, Tensor o, Tensor qkv, Tensor qk) const;

  AttentionConfig config_;
  Geometry geometry_;
  int64_t local_heads_, local_kv_heads_;
  Linear qkv_linear_, out_linear_;
  Norm q_norm_, k_norm_;
  SlotId qkv_ = -1, qk_ = -1, o_ = -1, lse_ = -1;
  WholeRows x_full_, y_full_, x_full_backward_, dy_full_, dx_full_;
  SlotId d_o_ = -1, d_qkv_ = -1, delta_ = -1;
  int cache_ = -1;
};

}  // namespace tl
