// SPDX-License-Identifier: Apache-2.0
#include "kernels/rope.h"

#include <algorithm>

#include "kernels/cuda/common.h"

namespace tl::cuda {
namespace {

constexpr int kMaxThreads = 256;

// One block for each row; a thread turns N pairs of one head at a time. sign: 1, or -1 for the
// inverse. A position outside the table gives NaN, since a kernel cannot end the program.
template <typename T, int N>
__global__ void __launch_bounds__(kMaxThreads)
    RopeKernel(T* x, const int32_t* positions, const float* table, int64_t max_positions,
               int64_t row_stride, int64_t head_stride, int heads, int half, float sign) {
  const int64_t row = blockIdx.x;
  const int64_t position = positions[row];
  const bool known = 0 <= position && position < max_positions;
  const float* cosines = table + (known ? position : 0) * 2 * half;
  const float* sines = cosines + half;
  const int vectors = half / N;
  for (int item = threadIdx.x; item < heads * vectors; item += blockDim.x) {
    const int j = item % vectors * N;
    T* low_at = x + row * row_stride + item / vectors * head_stride + j;
    T* high_at = low_at + half;
    const Pack<float, N> c = LoadF<N>(cosines + j), s = LoadF<N>(sines + j);
    Pack<float, N> low = LoadF<N>(low_at), high = LoadF<N>(high_at);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      const float l = low.v[k], h = high.v[k], sine = known ? sign * s.v[k] : nanf("");
      low.v[k] = fmaf(-h, sine, l * c.v[k]);
      high.v[k] = fmaf(l, sine, h * c.v[k]);
    }
    StoreF(low_at, low);
    StoreF(high_at, high);
  }
}

}  // namespace

void Rope(Stream& stream, const RopeArgs& args) {
  const int64_t rows = args.x.shape[0], heads = args.x.shape[1], half = args.x.shape[2] / 2;
  TL_CHECK_LT(heads * half, int64_t{1} << 31);
  if (args.x.elements() == 0) return;
  WithFloatType(args.x.dtype, [&](auto type) {
    using T = decltype(type);
    const bool vectors = half % kVector<T> == 0 && Aligned(args.x, args.table);
    WithVector<kVector<T>>(vectors, [&](auto n) {
      const int64_t items = heads * half / n;
      const int64_t threads = std::min<int64_t>(CeilDiv(items, kWarp) * kWarp, kMaxThreads);
      Launch(RopeKernel<T, n>, Blocks(rows), static_cast<unsigned>(threads), 0, stream,
             args.x.as<T>(), args.positions.as<int32_t>(), args.table.as<float>(),
             args.table.shape[0], args.x.strides[0], args.x.strides[1], static_cast<int>(heads),
             static_cast<int>(half), args.direction == RopeDirection::kForward ? 1.0f : -1.0f);
    });
  });
}

}  // namespace tl::cuda
