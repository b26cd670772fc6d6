// SPDX-License-Identifier: Apache-2.0
// Products whose rows know nothing of each other, for decoding.
#pragma once

#include "kernels/dispatch.h"

namespace tl {

// y[n, o] = sum_i x[n, i] w[o, i] + bias[o].
// The bits of a row depend on that row, w and bias alone: not on how many rows go with it, nor on
// the number of threads. So a token's logits are the same to the bit whether it is decoded alone,
// in a batch, or as one of many that are verified at once. w is read from memory once for all rows:
// with few of them, the time is that of reading it.
// x: [N, I], w: [O, I], bias: [O], one type (fp32, bf16 or fp16); y: [N, O], that type or fp32.
// Rows may be strided. Sums are fp32 and rounded once. y aliases nothing.
struct RowMatmulArgs {
  Tensor y;
  Tensor x;
  Tensor w;
  Tensor bias = {};
};
TL_DECLARE_OP(RowMatmul);

}  // namespace tl
