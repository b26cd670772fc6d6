// SPDX-License-Identifier: Apache-2.0
// The collective-free pieces of the chunked, vocab-parallel softmax cross-entropy.
#pragma once

#include "kernels/dispatch.h"

namespace tl {

// target_logit[n] = z[n, targets[n]] where this slice of the vocabulary has it, else 0: summed over
// the ranks it is the target's logit, a NaN included. targets: int32 [N] global ids, negative =
// masked (no target).
struct CrossEntropyTargetArgs {
  Tensor target_logit;  // fp32 [N]
  Tensor logits;        // fp32 [N, V_local]
  Tensor targets;
  int64_t begin = 0;  // global id of column 0
  int64_t valid = 0;
};
TL_DECLARE_OP(CrossEntropyTarget);

// One row's statistics over a slice of the vocabulary. They travel as fp32 [4].
struct RowStats {
  float max;
  float sum;        // of exp(z_v - max)
  int32_t argmax;   // global id of the maximum, the lowest of equals; -1: no logit above -inf
  int32_t greater;  // how many logits are greater than the target's
};

// stats[n] of each row over this rank's slice. Only the first `valid` columns count; padding never
// gets probability. A rank with valid = 0 gives (-inf, 0, -1, 0). Masked rows count their greater
// logits from whatever target_logit[n] says.
struct CrossEntropyStatsArgs {
  Tensor stats;         // fp32 [N, 4], see RowStats
  Tensor logits;        // fp32 [N, V_local]
  Tensor target_logit;  // fp32 [N]
  int64_t begin = 0;
  int64_t valid = 0;
};
TL_DECLARE_OP(CrossEntropyStats);

// From the statistics of all ranks, [R, N, 4] in rank order:
//   lse[n] = log sum exp,  loss[n] = lse - z_target + z_loss lse^2, or 0 where masked;
//   greedy[n] = argmax over the whole vocabulary, -1 where there is none;
//   rank[n] = how many logits are greater than the target's (0: it is the greedy token, ties
//   aside), -1 where masked, or kNoRank where lse is NaN: NaN is greater than nothing.
inline constexpr int32_t kNoRank = 0x7fffffff;
struct CrossEntropyMergeArgs {
  Tensor lse;           // fp32 [N]
  Tensor loss = {};     // fp32 [N]; null, as the next two may be: not wanted
  Tensor greedy = {};   // int32 [N]
  Tensor rank = {};     // int32 [N]
  Tensor all_stats;     // fp32 [R, N, 4]
  Tensor target_logit;  // fp32 [N]
  Tensor targets;       // int32 [N]
  float z_loss = 0.0f;
};
TL_DECLARE_OP(CrossEntropyMerge);

// d_logits[n, v] = scale (p_v (1 + 2 z_loss lse) - [v == target]), p_v = exp(z_v - lse); zero for
// masked rows and padded columns. scale = *grad_scale (fp32 [1] on the device: loss scale x head
// weight / global target count). d_logits: compute type or fp32, contiguous. It may alias logits:
// in fp32, or, where its type is narrower, row n of d_logits at the front of the storage of row n.
struct CrossEntropyGradArgs {
  Tensor d_logits;  // [N, V_local]
  Tensor logits;    // fp32 [N, V_local]
  Tensor lse;       // fp32 [N]
  Tensor targets;   // int32 [N]
  Tensor grad_scale;
  float z_loss = 0.0f;
  int64_t begin = 0;
  int64_t valid = 0;
};
TL_DECLARE_OP(CrossEntropyGrad);

}  // namespace tl
