// SPDX-License-Identifier: Apache-2.0
#include "kernels/residual_silu.h"

#include "kernels/cuda/common.h"
#include "kernels/cuda/sigmoid.h"

namespace tl::cuda {
namespace {

constexpr int kThreads = 256;

// x may be null.
template <typename T, int N>
__global__ void __launch_bounds__(kThreads)
    ResidualSiluKernel(T* y, const T* x, const T* a, int64_t n) {
  ForElements<N>(n, [&](int64_t i, auto width) {
    Pack<float, width> v = LoadF<width>(a + i), out = {};
    if (x != nullptr) out = LoadF<width>(x + i);
#pragma unroll
    for (int k = 0; k < width; ++k) out.v[k] = fmaf(v.v[k], Sigmoid(v.v[k]), out.v[k]);
    StoreF(y + i, out);
  });
}

template <typename T, int N>
__global__ void __launch_bounds__(kThreads)
    ResidualSiluBackwardKernel(T* d_a, const T* dy, const T* a, int64_t n) {
  ForElements<N>(n, [&](int64_t i, auto width) {
    Pack<float, width> v = LoadF<width>(a + i), out = LoadF<width>(dy + i);
#pragma unroll
    for (int k = 0; k < width; ++k) {
      const float s = Sigmoid(v.v[k]);
      out.v[k] *= fmaf(v.v[k] * s, 1.0f - s, s);
    }
    StoreF(d_a + i, out);
  });
}

}  // namespace

void ResidualSilu(Stream& stream, const ResidualSiluArgs& args) {
  const int64_t count = args.y.elements();
  WithFloatType(args.y.dtype, [&](auto type) {
    using T = decltype(type);
    WithVector<kVector<T>>(Aligned(args.y, args.x, args.a), [&](auto n) {
      Launch(ResidualSiluKernel<T, n>, Blocks(CeilDiv(count, n * kThreads)), kThreads, 0, stream,
             args.y.as<T>(), args.x ? args.x.as<T>() : nullptr, args.a.as<T>(), count);
    });
  });
}

void ResidualSiluBackward(Stream& stream, const ResidualSiluBackwardArgs& args) {
  const int64_t count = args.dy.elements();
  WithFloatType(args.dy.dtype, [&](auto type) {
    using T = decltype(type);
    WithVector<kVector<T>>(Aligned(args.d_a, args.dy, args.a), [&](auto n) {
      Launch(ResidualSiluBackwardKernel<T, n>, Blocks(CeilDiv(count, n * kThreads)), kThreads, 0,
             stream, args.d_a.as<T>(), args.dy.as<T>(), args.a.as<T>(), count);
    });
  });
}

}  // namespace tl::cuda
