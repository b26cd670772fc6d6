// SPDX-License-Identifier: Apache-2.0
// The largest elements of rows: the tokens that greedy and top-k decoding choose among.
#pragma once

#include "kernels/dispatch.h"

namespace tl {

constexpr int64_t kMostTop = 128;

// Tells whether x comes before y, which stands in a lower column.
constexpr bool ComesFirst(float x, float y) { return x > y || (x == x && y != y); }

// values[n, 0 .. k - 1], ids[n, ..] = the k largest elements of x[n, :] and their columns, the
// largest first. Of equals (0 and -0 are) the lower column comes first; NaN is below all. Where a
// row has fewer than k elements -inf with column -1 follows them.
// x: fp32 [N, V], rows may be strided, V may be 0; values: fp32 [N, k]; ids: int32 [N, k]; k is 1
// to kMostTop. On a CUDA device the stream's scratch is TopKScratch.
struct TopKArgs {
  Tensor values;
  Tensor ids;
  Tensor x;
};
TL_DECLARE_OP(TopK);

// Columns of a row that one block of a CUDA device searches.
constexpr int64_t kTopKPart = 4096;
constexpr int64_t TopKScratch(int64_t rows, int64_t columns, int64_t k) {
  const int64_t parts = (columns + kTopKPart - 1) / kTopKPart;
  return parts > 1 ? rows * parts * k * int64_t{sizeof(uint64_t)} : 0;
}

}  // namespace tl
