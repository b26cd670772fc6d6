// SPDX-License-Identifier: Apache-2.0
#include "kernels/dropout.h"

#include "kernels/cuda/common.h"

namespace tl::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kColumns = 8;  // of one Philox block

// A thread for each Philox block: columns [8 b, 8 b + 8) of a row. N: elements of one access.
template <typename T, int N>
__global__ void __launch_bounds__(kThreads)
    DropoutKernel(T* y, const T* x, int64_t rows, int64_t columns, uint64_t key, int64_t first_row,
                  uint32_t threshold, float scale) {
  const int64_t blocks = CeilDiv(columns, kColumns);
  const int64_t thread = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const int64_t row = thread / blocks, block = thread % blocks;
  if (row >= rows) return;
  const PhiloxWords words =
      Philox(key, static_cast<uint64_t>(block), static_cast<uint64_t>(first_row + row));
  const int64_t at = row * columns + block * kColumns;
  const int64_t count = columns - block * kColumns;
#pragma unroll
  for (int i = 0; i < kColumns; i += N) {
    // Where vectors are used, the columns are a multiple of them.
    if (i >= count) break;
    Pack<float, N> v = LoadF<N>(x + at + i);
#pragma unroll
    for (int k = 0; k < N; ++k)
      v.v[k] = PhiloxHalf(words, i + k) >= threshold ? v.v[k] * scale : 0.0f;
    StoreF(y + at + i, v);
  }
}

}  // namespace

void Dropout(Stream& stream, const DropoutArgs& args) {
  const int64_t rows = args.x.shape[0], columns = args.x.shape[1];
  WithFloatType(args.x.dtype, [&](auto type) {
    using T = decltype(type);
    WithVector<kVector<T>>(Aligned(args.y, args.x), [&](auto n) {
      Launch(DropoutKernel<T, n>, Blocks(CeilDiv(rows * CeilDiv(columns, kColumns), kThreads)),
             kThreads, 0, stream, args.y.as<T>(), args.x.as<T>(), rows, columns, args.key,
             args.first_row, DropoutThreshold(args.rate), DropoutScale(args.rate));
    });
  });
}

}  // namespace tl::cuda
