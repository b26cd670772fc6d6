// SPDX-License-Identifier: Apache-2.0
// Token embedding over a slice of the vocabulary.
#pragma once

#include "kernels/dispatch.h"

namespace tl {

// y[n] = table[tokens[n] - begin] where begin <= tokens[n] < begin + rows of table, else 0.
struct EmbeddingArgs {
  Tensor y;       // [N, H]
  Tensor tokens;  // int32 [N]
  Tensor table;   // [V_local, H], type of y
  int64_t begin = 0;
};
TL_DECLARE_OP(Embedding);

// d_table[t - begin] += dy[n], adding rows in ascending n: the result does not depend on threads.
// Always accumulates; rows outside the slice add nothing. d_table is fp32.
struct EmbeddingBackwardArgs {
  Tensor d_table;  // fp32 [V_local, H]
  Tensor tokens;   // int32 [N]
  Tensor dy;       // [N, H]
  int64_t begin = 0;
};
TL_DECLARE_OP(EmbeddingBackward);

// Of the stream on a CUDA device, in bytes: the rows by their tokens. vocabulary: V_local.
constexpr int64_t EmbeddingBackwardScratch(int64_t rows, int64_t vocabulary) {
  return (2 * vocabulary + 3 * rows + 1) * int64_t{sizeof(int32_t)};
}

}  // namespace tl
