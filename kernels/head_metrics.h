// SPDX-License-Identifier: Apache-2.0
// What a head's predictions were worth, summed on the device from micro-batch to micro-batch, so
// that the host reads a few numbers once a step.
#pragma once

#include "kernels/dispatch.h"

namespace tl {

// Sums of one head over tokens: fp64, in which counts are exact up to 2^53.
struct HeadSums {
  double loss;      // of the unmasked targets
  double targets;   // unmasked
  double top1;      // of them the target had no logit above it: ties count as hits
  double top5;      // at most 4
  double compared;  // tokens for which the main head's own token at the target's place is known
  double agreed;    // of them this head's greedy token was that token
  double reached;   // compared tokens at which decoding would have come to this head
  double accepted;  // of them agreed
};
inline constexpr int64_t kHeadSums = sizeof(HeadSums) / sizeof(double);

// Row n is token t = n mod T of a sequence, and the head predicts the token at t + offset. The main
// head (offset 1) at t + offset - 1 predicts the same token from the text before it; its greedy
// token there is main[n + offset - 1]. Decoding drafts with one head after the other and comes to
// this one if, at each smaller offset, text, draft and main head's token are the same:
//   compared = target[n] >= 0 and t + offset - 1 < T;
//   agreed = greedy[n] == main[n + offset - 1] and neither is -1, no token;
//   reached = compared and alive[n];  alive[n] := reached and agreed and greedy[n] == target[n].
// Heads come by ascending offset without a gap; at offset 1 alive[n] counts as true.
struct HeadMetricsArgs {
  Tensor sums;     // fp64 [kHeadSums], see HeadSums; added to, in an order that depends on N alone
  Tensor alive;    // int32 [N]
  Tensor losses;   // fp32 [N], 0 where masked
  Tensor targets;  // int32 [N], negative: masked
  Tensor greedy;   // int32 [N], -1: no token, as of logits that are NaN
  Tensor rank;     // int32 [N], see CrossEntropyMergeArgs
  Tensor main;     // int32 [N]; may be greedy itself
  int64_t offset = 1;
  int64_t sequence_length = 0;  // T; divides N
};
TL_DECLARE_OP(HeadMetrics);

// One row's part. Both backends sum what it gives.
struct HeadRow {
  bool target, top1, top5, compared, agreed, reached, alive;
};
constexpr HeadRow JudgeRow(int64_t n, int32_t alive, const int32_t* targets, const int32_t* greedy,
                           const int32_t* rank, const int32_t* main, int64_t offset,
                           int64_t length) {
  const bool target = targets[n] >= 0;
  const bool compared = target && n % length + offset - 1 < length;
  const bool agreed = compared && greedy[n] >= 0 && greedy[n] == main[n + offset - 1];
  const bool reached = compared && (offset == 1 || alive != 0);
  return {target,
          target && rank[n] == 0,
          target && rank[n] < 5,
          compared,
          agreed,
          reached,
          reached && agreed && greedy[n] == targets[n]};
}

}  // namespace tl
