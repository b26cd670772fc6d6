// SPDX-License-Identifier: Apache-2.0
// Attention without a T x T matrix in memory: FlashAttention (Dao et al. 2022; Dao 2023).
#pragma once

#include "kernels/dispatch.h"

namespace tl {

enum class MaskKind : uint8_t {
  kNone,    // every key
  kCausal,  // keys at positions <= the query's
  kWindow   // causal, and key position > query position - window
};

// Which keys a query is allowed to see.
struct AttentionMask {
  MaskKind kind = MaskKind::kCausal;
  int64_t window = 0;      // kWindow: number of keys seen, the query's own included
  int64_t q_start = 0;     // the position of query 0
  int64_t k_start = 0;     // and of key 0
  Tensor q_segments = {};  // int32 [B, Tq], contiguous, non-decreasing; null: one segment
  Tensor k_segments = {};  // int32 [B, Tk], the same
};

// Per batch b, query head h (with key head h / (Hq / Hkv)), query i, key j:
//   s_ij = scale q_i . k_j where allowed, else -inf;  lse_i = log sum_j exp(s_ij);
//   o_i = sum_j exp(s_ij - lse_i) v_j.
// Allowed: by the mask's kind, with query position q_start + i and key position k_start + j, and,
// where segments are given, q_segments[b, i] == k_segments[b, j] (documents packed into one
// sequence). A query with no allowed key gives o = 0 and lse = -inf. Keys and values before the
// first and behind the last that any query of a batch entry is allowed may be anything, NaN too.
//   q, o  [B, Tq, Hq, D], fp32, bf16 or fp16, all one type, strided but for the last axis;
//         D 32..256, a multiple of 8
//   k, v  [B, Tk, Hkv, D], the same
//   lse   fp32 [B, Hq, Tq], natural logarithm
struct AttentionArgs {
  Tensor o;
  Tensor lse;
  Tensor q;
  Tensor k;
  Tensor v;
  AttentionMask mask = {};
  float scale = 0.0f;  // 0: 1 / sqrt(D)
};
TL_DECLARE_OP(Attention);

// Keys that a query sees, on average over a sequence of this length: of causal attention, within
// window > 0 keys.
double MeanKeys(int64_t length, int64_t window);
// Of q . k and p v over so many keys.
constexpr double AttentionFlops(int64_t queries, int64_t heads, int64_t d, double keys) {
  return 4.0 * static_cast<double>(queries * heads * d) * keys;
}

// With p_ij = exp(s_ij - lse_i) and D_i = sum_d do_id o_id:
//   dv_j = sum_i p_ij do_i;  ds_ij = p_ij (do_i . v_j - D_i);
//   dq_i = scale sum_j ds_ij k_j;  dk_j = scale sum_i ds_ij q_i.
// dq, dk, dv have the layouts of q, k, v and are overwritten; they alias nothing. delta: fp32
// [B, Hq, Tq], receives D_i. Sums are fp32, in an order that depends on shapes and the number of
// threads only: same input, same bits. On CUDA devices the 16-bit types take scratch of the stream,
// at most AttentionBackwardScratch of their sizes.
struct AttentionBackwardArgs {
  Tensor dq;
  Tensor dk;
  Tensor dv;
  Tensor delta;
  Tensor d_o;
  Tensor o;
  Tensor lse;
  Tensor q;
  Tensor k;
  Tensor v;
  AttentionMask mask = {};
  float scale = 0.0f;
};
TL_DECLARE_OP(AttentionBackward);

struct AttentionSizes {
  int64_t batch, tq, tk, q_heads, k_heads, d;
};
// Bytes, with D rounded up to the next of 64, 96, 128, 192, 256 and T to multiples of 128: fp32 dq;
// where heads share keys also fp32 dk and dv; a few for each row and tile.
int64_t AttentionBackwardScratch(const AttentionSizes& sizes);

}  // namespace tl
