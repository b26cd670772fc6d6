// SPDX-License-Identifier: Apache-2.0
#include "kernels/row_matmul.h"

#include "kernels/cuda/columns.h"

namespace tl::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;
constexpr int kOutputs = 2;   // of a warp
constexpr int kMostRows = 4;  // that share each load of w

template <typename T, typename Out>
struct RowMatmulParams {
  Out* y;
  const T* x;
  const T* w;
  const T* bias;  // or null
  int64_t rows, outputs, width;
  int64_t y_stride, x_stride, w_stride;
};

// A warp makes kOutputs outputs of kRows rows; blocks that share outputs follow each other. Every
// sum is that of a lane over its packs in turn, then over the lanes: the same additions whatever
// kRows, N and the other rows are.
template <typename T, typename Out, int kRows, int N>
__global__ void __launch_bounds__(kThreads) RowMatmulKernel(RowMatmulParams<T, Out> p) {
  constexpr int V = kVector<T>;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t warp = static_cast<int64_t>(blockIdx.y) * kWarps + threadIdx.x / kWarp;
  const int64_t output = warp * kOutputs, row = static_cast<int64_t>(blockIdx.x) * kRows;
  if (output >= p.outputs) return;
  // What lies beyond the end is the last of its kind once more, and not stored.
  const T* w[kOutputs];
  const T* x[kRows];
#pragma unroll
  for (int o = 0; o < kOutputs; ++o)
    w[o] = p.w + (output + o < p.outputs ? output + o : output) * p.w_stride;
#pragma unroll
  for (int r = 0; r < kRows; ++r) x[r] = p.x + (row + r < p.rows ? row + r : row) * p.x_stride;
  float sums[kRows][kOutputs] = {};
#pragma unroll 2
  for (int64_t i = lane * V; i < p.width; i += kWarp * V) {
    Pack<float, V> weights[kOutputs];
#pragma unroll
    for (int o = 0; o < kOutputs; ++o) weights[o] = LoadColumns<V, N>(w[o] + i, p.width - i);
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const Pack<float, V> values = LoadColumns<V, N>(x[r] + i, p.width - i);
#pragma unroll
      for (int o = 0; o < kOutputs; ++o)
#pragma unroll
        for (int k = 0; k < V; ++k) sums[r][o] = fmaf(weights[o].v[k], values.v[k], sums[r][o]);
    }
  }
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
#pragma unroll
    for (int o = 0; o < kOutputs; ++o) {
      float sum = WarpSum(sums[r][o]);
      if (lane != 0 || row + r >= p.rows || output + o >= p.outputs) continue;
      if (p.bias != nullptr) sum += Widen(p.bias[output + o]);
      p.y[(row + r) * p.y_stride + output + o] = Narrow<Out>(sum);
    }
  }
}

template <typename T, typename Out>
void Run(Stream& stream, const RowMatmulArgs& args) {
  const RowMatmulParams<T, Out> p{.y = args.y.as<Out>(),
                                  .x = args.x.as<T>(),
                                  .w = args.w.as<T>(),
                                  .bias = args.bias ? args.bias.as<T>() : nullptr,
                                  .rows = args.x.shape[0],
                                  .outputs = args.w.shape[0],
                                  .width = args.x.shape[1],
                                  .y_stride = args.y.strides[0],
                                  .x_stride = args.x.strides[0],
                                  .w_stride = args.w.strides[0]};
  const int64_t output_blocks = CeilDiv(p.outputs, int64_t{kWarps} * kOutputs);
  TL_CHECK_LE(output_blocks, 65535);
  const auto launch = [&](auto rows, auto n) {
    Launch(RowMatmulKernel<T, Out, rows, n>,
           dim3(Blocks(CeilDiv(p.rows, rows)).x, static_cast<unsigned>(output_blocks)), kThreads, 0,
           stream, p);
  };
  const bool vectors = p.width % kVector<T> == 0 && Aligned(args.x, args.w);
  WithVector<kVector<T>>(vectors, [&](auto n) {
    if (p.rows == 1) {
      launch(Int<1>(), n);
    } else {
      launch(Int<kMostRows>(), n);
    }
  });
}

}  // namespace

void RowMatmul(Stream& stream, const RowMatmulArgs& args) {
  WithFloatType(args.x.dtype, [&](auto type) {
    using T = decltype(type);
    if (args.y.dtype == DType::kF32) {
      Run<T, float>(stream, args);
    } else {
      Run<T, T>(stream, args);
    }
  });
}

}  // namespace tl::cuda
