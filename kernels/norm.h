// SPDX-License-Identifier: Apache-2.0
// Root-mean-square norm (Zhang and Sennrich 2019), optionally fused with the residual addition.
#pragma once

#include <cmath>

#include "base/philox.h"
#include "kernels/dispatch.h"

namespace tl {

// h = x + residual (or x);  rstd = 1 / sqrt(mean_j h_j^2 + eps);  y_j = h_j rstd w_j.
// x: [rows, H], or [rows, heads, H] with strides (each head's vector is its own norm); y likewise.
// w: [H], the type of x. rstd: fp32 [rows] or [rows, heads], contiguous, for the backward pass; may
// be null. residual and sum (rank 2): both or neither; sum receives h rounded to its type, and the
// norm is of the rounded h, so that forward and backward see the same numbers. y may alias x when
// there is no residual; sum may alias x or residual. Statistics are fp32; where they overflow, rstd
// and the row of y are NaN: a row of zeros would pass for a result.
struct RmsNormArgs {
  Tensor y;
  Tensor rstd = {};
  Tensor x;
  Tensor w;
  float eps = 1e-5f;
  Tensor residual = {};
  Tensor sum = {};
};
TL_DECLARE_OP(RmsNorm);

// dx_j = rstd (w_j dy_j - h_j rstd^2 mean_i(w_i dy_i h_i)) + d_sum_j;  dw_j = sum_rows dy_j h_j
// rstd. x is the forward's h (its `sum` where one was made). d_sum (same shape as dx, optional):
// gradient reaching h by the residual path; added in. dx may alias dy or d_sum. dw: fp32 [H],
// overwritten, or added to where accumulate_dw; null: not computed. The order of the sum over rows
// depends only on the number of rows and threads.
struct RmsNormBackwardArgs {
  Tensor dx;
  Tensor dw = {};
  Tensor dy;
  Tensor x;
  Tensor w;
  Tensor rstd;
  Tensor d_sum = {};
  bool accumulate_dw = false;
};
TL_DECLARE_OP(RmsNormBackward);

// Of the stream on a CUDA device, in bytes, where dw is computed: a partial sum of each block, of
// which there are at most so many.
constexpr int64_t kRmsNormMostBlocks = 1056;
constexpr int64_t RmsNormBackwardScratch(int64_t rows, int64_t size) {
  return (rows < kRmsNormMostBlocks ? rows : kRmsNormMostBlocks) * size * int64_t{sizeof(float)};
}

// Returns 1 / sqrt(mean + eps) of so many squares: of an infinite sum NaN, not 0.
TL_HOST_DEVICE inline float InverseRms(float squares, int64_t width, float eps) {
  return 1.0f / std::sqrt(squares / static_cast<float>(width) + eps) + (squares - squares);
}

}  // namespace tl
