// SPDX-License-Identifier: Apache-2.0
// Root-mean-square norm whose scale and shift are each sample's own (adaLN-Zero of DiT, Peebles and
// Xie 2023), optionally fused with the gated residual addition before it.
#pragma once

#include "kernels/dispatch.h"
#include "kernels/sample_rows.h"

namespace tl {

// h = x + gate_b residual (or x);  rstd = 1 / sqrt(mean_j h_j^2 + eps);
// y_j = h_j rstd (1 + scale_bj) + shift_bj, b the row's sample.
// x, y: [rows, H]. shift, scale, gate: fp32 [B, H], rows may lie apart, as in a slice of [B, 6 H];
// gate null: 1. rstd: fp32 [rows], contiguous, for the backward pass; may be null. residual and sum
// (like x): both or neither; sum receives h, rounded once to its type, and the norm is of the
// rounded h, as RmsNorm's. y may alias x when there is no residual; sum may alias x or residual.
// Statistics are fp32; where they overflow, rstd and the row of y are NaN. A row's bits depend on
// that row and its sample alone.
struct ModulatedNormArgs {
  Tensor y;
  Tensor rstd = {};
  Tensor x;
  Tensor shift;
  Tensor scale;
  SampleRows samples;
  float eps = 1e-5f;
  Tensor residual = {};
  Tensor gate = {};
  Tensor sum = {};
};
TL_DECLARE_OP(ModulatedNorm);

// g_j = dy_j (1 + scale_bj);  dx_j = rstd (g_j - h_j rstd^2 mean_i(g_i h_i)) + d_sum_j;
// d_shift_bj = sum over the sample's rows of dy_j;  d_scale_bj = of dy_j h_j rstd.
// x is the forward's h (its `sum` where one was made). d_sum (like dx, optional): gradient reaching
// h by the residual path. dx may alias dy or d_sum; it is the gradient of h, of which GateBackward
// makes those of gate and residual. d_shift, d_scale: fp32 [B, H], rows may lie apart; overwritten,
// 0 for samples without rows here; both null: not computed. A sample's sums are added in an order
// that depends on which rows of it are here, and on nothing else.
struct ModulatedNormBackwardArgs {
  Tensor dx;
  Tensor d_shift = {};
  Tensor d_scale = {};
  Tensor dy;
  Tensor x;
  Tensor scale;
  Tensor rstd;
  SampleRows samples;
  Tensor d_sum = {};
};
TL_DECLARE_OP(ModulatedNormBackward);

// Of the stream on a CUDA device, in bytes: a number for each row.
constexpr int64_t ModulatedNormBackwardScratch(int64_t rows) {
  return rows * int64_t{sizeof(float)};
}

}  // namespace tl
