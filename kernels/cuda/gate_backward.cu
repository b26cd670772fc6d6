// SPDX-License-Identifier: Apache-2.0
#include "kernels/gate_backward.h"

#include "kernels/cuda/common.h"
#include "kernels/cuda/sample_tile.h"

namespace tl::cuda {
namespace {

// d_gates.data may be null: residuals are not read then.
template <typename T, int N>
__global__ void __launch_bounds__(kTileThreads)
    GateBackwardKernel(MatrixRows<T> outs, MatrixRows<float> d_gates, MatrixRows<T> ds,
                       MatrixRows<T> residuals, MatrixRows<float> gates, SampleRows samples,
                       int64_t rows, int width) {
  const SampleTile<N> tile(samples, rows, width);
  const int column = tile.column;
  Pack<float, N> gate = {};
  if (column < width) gate = LoadF<N>(gates[tile.sample] + column);
  float sums[1][N] = {};
#pragma unroll 2
  for (int64_t row = tile.row; row < tile.end; row += kTileRows) {
    Pack<float, N> d = LoadF<N>(ds[row] + column), residual = {};
    if (d_gates.data != nullptr) residual = LoadF<N>(residuals[row] + column);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      sums[0][k] = fmaf(d.v[k], residual.v[k], sums[0][k]);
      d.v[k] *= gate.v[k];
    }
    StoreF(outs[row] + column, d);
  }
  if (d_gates.data == nullptr) return;
  SumTile(tile, sums, {d_gates[tile.sample]});
}

}  // namespace

void GateBackward(Stream& stream, const GateBackwardArgs& args) {
  const int64_t rows = args.d.shape[0], width = args.d.shape[1];
  if (width == 0) return;
  WithFloatType(args.d.dtype, [&](auto type) {
    using T = decltype(type);
    const bool vectors =
        width % kVector<T> == 0 && Aligned(args.d_residual, args.d, args.residual, args.gate);
    WithVector<kVector<T>>(vectors, [&](auto n) {
      Launch(GateBackwardKernel<T, n>, TileBlocks(args.gate.shape[0], width, n), kTileThreads, 0,
             stream, MatrixRows<T>(args.d_residual), RowsOrNone<float>(args.d_gate),
             MatrixRows<T>(args.d), RowsOrNone<T>(args.residual), MatrixRows<float>(args.gate),
             args.samples, rows, static_cast<int>(width));
    });
  });
}

}  // namespace tl::cuda
