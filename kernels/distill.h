// SPDX-License-Identifier: Apache-2.0
// Distillation: logits learn the distribution that a teacher's logits give, instead of one target.
// The vocabulary may be divided over ranks, see kernels/cross_entropy.h, whose statistics give both
// sides' lse.
#pragma once

#include "kernels/dispatch.h"

namespace tl {

// With p_v = exp(z_v - lse), q_v = exp(t_v - teacher_lse) over this rank's slice of the vocabulary,
//   loss[n] = sum_v q_v (log q_v - log p_v) (+ z_loss lse^2 on the rank that has column 0),
// which adds up over the ranks to KL(q || p) + z_loss lse^2, and
//   d_logits[n, v] = scale (p_v (1 + 2 z_loss lse) - q_v),  scale = *grad_scale.
// Both are zero in masked rows, whose logits are not read, and d_logits in padded columns. The
// teacher has no gradient.
struct DistillArgs {
  Tensor d_logits;     // [N, V_local], compute type or fp32, contiguous; in fp32 it may be logits
  Tensor loss;         // fp32 [N]
  Tensor logits;       // fp32 [N, V_local]: z
  Tensor lse;          // fp32 [N]
  Tensor teacher;      // fp32 [N, V_local]: t
  Tensor teacher_lse;  // fp32 [N]
  Tensor targets;      // int32 [N], negative: masked; else which token does not matter
  Tensor grad_scale;   // fp32 [1] on the device
  float z_loss = 0.0f;
  int64_t begin = 0;  // global id of column 0
  int64_t valid = 0;  // columns of the vocabulary; padding follows
};
TL_DECLARE_OP(Distill);

}  // namespace tl
