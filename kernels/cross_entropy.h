// The collective-free pieces of the chunked, vocab-parallel softmax cross-entropy.
#pragma once

#include "kernels/dispatch.h"

namespace tl {

// Statistics of each row over this rank's slice of the vocabulary:
//   stats[n] = (max_v z_v, sum_v exp(z_v - max), z_target or -inf where the target is elsewhere).
// Only the first `valid` columns count; padding never gets probability. A rank with valid = 0 gives
// (-inf, 0, -inf). targets: int32 [N] global ids, negative = masked (no target).
struct CrossEntropyStatsArgs {
  Tensor stats;   // fp32 [N, 3]
  Tensor logits;  // fp32 [N, V_local]
  Tensor targets;
  int64_t begin = 0;  // global id of column 0
  int64_t valid = 0;
};
TL_DECLARE_OP(CrossEntropyStats);

// From the statistics of all ranks, [R, N, 3] in rank order:
//   lse[n] = log sum exp,  loss[n] = lse - z_target + z_loss lse^2, or 0 where masked.
struct CrossEntropyMergeArgs {
  Tensor lse;        // fp32 [N]
  Tensor loss;       // fp32 [N]
  Tensor all_stats;  // fp32 [R, N, 3]
  Tensor targets;    // int32 [N]
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
