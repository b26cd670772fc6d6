// SPDX-License-Identifier: Apache-2.0
// Conversions, exchanges, sums and scaling over flat ranges.
#pragma once

#include "kernels/dispatch.h"

namespace tl {

// dst[i] = src[i] between fp32, bf16 and fp16, round to nearest even; NaN stays NaN. Same shape,
// contiguous, no aliasing unless the types are equal.
struct ConvertArgs {
  Tensor dst;
  Tensor src;
};
TL_DECLARE_OP(Convert);

// out[i] = a[i] + b[i], in fp32, rounded once to out's type. Same shape and type; out may alias.
struct AddArgs {
  Tensor out;
  Tensor a;
  Tensor b;
};
TL_DECLARE_OP(Add);

// out[i] = sum over r of parts[r, i], added in ascending r in fp32 and rounded once. parts: [R, n].
// out may alias parts' row 0 where types are equal.
struct SumRowsArgs {
  Tensor out;
  Tensor parts;
};
TL_DECLARE_OP(SumRows);

// x[i] *= factor.
struct ScaleArgs {
  Tensor x;
  float factor = 1.0f;
};
TL_DECLARE_OP(Scale);

// Exchanges the values of a and b, to the bit. fp32 [n] each, contiguous, without overlap.
struct ExchangeArgs {
  Tensor a;
  Tensor b;
};
TL_DECLARE_OP(Exchange);

// d_bias[j] = (accumulate ? d_bias[j] : 0) + sum_n dy[n, j]. d_bias fp32 [N], dy [rows, N].
struct BiasBackwardArgs {
  Tensor d_bias;
  Tensor dy;
  bool accumulate = false;
};
TL_DECLARE_OP(BiasBackward);

// The most scratch of the stream on a CUDA device, in bytes: the sums of at most so many parts.
constexpr int64_t kBiasMostParts = 64;
constexpr int64_t BiasBackwardScratch(int64_t width) {
  return kBiasMostParts * width * int64_t{sizeof(float)};
}

// out[0] += weight * sum x_i^2 over the finite x_i, out[1] += count of non-finite x_i. x: fp32 [n],
// out: fp32 [2]. Summed in blocks of 4096 in fp32, blocks in fp64 in an order that depends on n
// alone: the result does not depend on the number of threads.
struct SumSquaresArgs {
  Tensor out;
  Tensor x;
  float weight = 1.0f;
};
TL_DECLARE_OP(SumSquares);

// Elements of a block, and the scratch of the stream on a CUDA device, in bytes: two sums of each.
constexpr int64_t kSumSquaresBlock = 4096;
constexpr int64_t SumSquaresScratch(int64_t n) {
  return (n + kSumSquaresBlock - 1) / kSumSquaresBlock * 2 * int64_t{sizeof(float)};
}

}  // namespace tl
