// SPDX-License-Identifier: Apache-2.0
#include "kernels/swiglu.h"

#include "kernels/cuda/common.h"
#include "kernels/cuda/sigmoid.h"

namespace tl::cuda {
namespace {

constexpr int kThreads = 256;

// Row and first column of this thread's N elements, where `chunks` blocks share a row.
struct Place {
  int64_t row, column;
};
template <int N>
__device__ Place Here(unsigned chunks) {
  return {blockIdx.x / chunks, int64_t{blockIdx.x % chunks * kThreads + threadIdx.x} * N};
}

template <typename T, int N>
__global__ void __launch_bounds__(kThreads)
    SwigluKernel(Rows<T> ys, Rows<T> gate_ups, int64_t width, unsigned chunks) {
  const auto [row, i] = Here<N>(chunks);
  if (i >= width) return;
  const T* gate = gate_ups[row] + i;
  const Pack<float, N> g = LoadF<N>(gate), u = LoadF<N>(gate + width);
  Pack<float, N> y;
#pragma unroll
  for (int k = 0; k < N; ++k) y.v[k] = g.v[k] * Sigmoid(g.v[k]) * u.v[k];
  StoreF(ys[row] + i, y);
}

template <typename T, int N>
__global__ void __launch_bounds__(kThreads)
    SwigluBackwardKernel(Rows<T> d_gate_ups, Rows<T> dys, Rows<T> gate_ups, int64_t width,
                         unsigned chunks) {
  const auto [row, i] = Here<N>(chunks);
  if (i >= width) return;
  const T* gate = gate_ups[row] + i;
  const Pack<float, N> g = LoadF<N>(gate), u = LoadF<N>(gate + width), dy = LoadF<N>(dys[row] + i);
  Pack<float, N> d_gate, d_up;
#pragma unroll
  for (int k = 0; k < N; ++k) {
    const float s = Sigmoid(g.v[k]), silu = g.v[k] * s;
    d_gate.v[k] = dy.v[k] * u.v[k] * fmaf(silu, 1.0f - s, s);
    d_up.v[k] = dy.v[k] * silu;
  }
  T* out = d_gate_ups[row] + i;
  StoreF(out, d_gate);
  StoreF(out + width, d_up);
}

}  // namespace

void Swiglu(Stream& stream, const SwigluArgs& args) {
  const int64_t rows = args.y.shape[0], width = args.y.shape[1];
  WithFloatType(args.y.dtype, [&](auto type) {
    using T = decltype(type);
    const bool vectors = width % kVector<T> == 0 && Aligned(args.y, args.gate_up);
    WithVector<kVector<T>>(vectors, [&](auto n) {
      const int64_t chunks = CeilDiv(width, n * kThreads);
      Launch(SwigluKernel<T, n>, Blocks(rows * chunks), kThreads, 0, stream, Rows<T>(args.y),
             Rows<T>(args.gate_up), width, static_cast<unsigned>(chunks));
    });
  });
}

void SwigluBackward(Stream& stream, const SwigluBackwardArgs& args) {
  const int64_t rows = args.dy.shape[0], width = args.dy.shape[1];
  WithFloatType(args.dy.dtype, [&](auto type) {
    using T = decltype(type);
    const bool vectors = width % kVector<T> == 0 && Aligned(args.d_gate_up, args.dy, args.gate_up);
    WithVector<kVector<T>>(vectors, [&](auto n) {
      const int64_t chunks = CeilDiv(width, n * kThreads);
      Launch(SwigluBackwardKernel<T, n>, Blocks(rows * chunks), kThreads, 0, stream,
             Rows<T>(args.d_gate_up), Rows<T>(args.dy), Rows<T>(args.gate_up), width,
             static_cast<unsigned>(chunks));
    });
  });
}

}  // namespace tl::cuda
