// SPDX-License-Identifier: Apache-2.0
// Matrix products: C = op(A) op(B) + beta C + bias.
#pragma once

#include "kernels/dispatch.h"

namespace tl {

struct MatmulChoice;  // matmul_choices.h

enum class Transpose : uint8_t { kNo, kYes };

// op(A) is [M, K], op(B) is [K, N], C is [M, N]; rows may be strided, last axes contiguous.
//   forward   y[N,O] = x[N,I] w[O,I]^T          (trans_b)
//   data      dx[N,I] = dy[N,O] w[O,I]
//   weight    dw[O,I] += dy[N,O]^T x[N,I]       (trans_a, beta = 1, C in fp32)
// A and B share one type, fp32, bf16 or fp16; C has that type or fp32. Sums are fp32 and rounded
// once. bias: [N] in A's type, added to every row; only with beta = 0. C aliases nothing.
// CPUs widen fp16, and bf16 where they have no bf16 products, to fp32 in the stream's scratch.
struct MatmulArgs {
  Tensor c;
  Tensor a;
  Tensor b;
  Transpose trans_a = Transpose::kNo;
  Transpose trans_b = Transpose::kNo;
  float beta = 0.0f;
  Tensor bias = {};
  // On a CUDA device, of a product that was made before: how it is made. Null, as in all training:
  // cuBLASLt's first choice.
  const MatmulChoice* choice = nullptr;
};
TL_DECLARE_OP(Matmul);

// A multiplication and an addition for each of M N K terms.
constexpr double MatmulFlops(int64_t m, int64_t n, int64_t k) {
  return 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
}

// Bytes. cuBLASLt chooses by the alignment of operands up to here: where all memory is handed out
// in multiples of it, products of equal shapes are made in the same way, to the bit.
inline constexpr int64_t kMatmulAlignment = 256;

// The most that cuBLASLt takes: what cuBLAS's own documentation advises for Hopper.
inline constexpr int64_t kMatmulWorkspace = int64_t{32} << 20;
// The most scratch on a CUDA device, in bytes: the copy of a bias of so many elements, which
// cuBLASLt reads in C's type, and the workspace behind it.
constexpr int64_t MatmulScratch(int64_t bias = 0) {
  const int64_t copy = bias * int64_t{sizeof(float)};
  return (copy + kMatmulAlignment - 1) / kMatmulAlignment * kMatmulAlignment + kMatmulWorkspace;
}

}  // namespace tl
