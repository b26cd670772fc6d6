// SPDX-License-Identifier: Apache-2.0
#include "kernels/modulated_norm.h"

#include "kernels/cuda/common.h"
#include "kernels/cuda/norm_rows.h"
#include "kernels/cuda/sample_tile.h"

namespace tl::cuda {
namespace {

// gates.data may be null.
template <typename T, int N, int kTeam, bool kAdd>
__global__ void __launch_bounds__(kNormThreads)
    ModulatedNormKernel(MatrixRows<T> ys, float* rstds, MatrixRows<T> xs, MatrixRows<float> shifts,
                        MatrixRows<float> scales, MatrixRows<T> residuals, MatrixRows<float> gates,
                        MatrixRows<T> sums, SampleRows samples, int64_t rows, int width,
                        float eps) {
  __shared__ float warp_sums[kNormThreads / kWarp];
  const TeamRow<kTeam> team(rows);
  const int64_t sample = team.active ? samples.SampleOf(team.row) : 0;
  const float* shift = shifts[sample];
  const float* scale = scales[sample];
  const float* gate = gates.data == nullptr ? nullptr : gates[sample];
  const T* residual = team.active && kAdd ? residuals[team.row] : nullptr;
  const auto add = [&](int i, Pack<float, N>& h) {
    const Pack<float, N> other = LoadF<N>(residual + i);
    Pack<float, N> factor = {};
    if (gate != nullptr) factor = LoadF<N>(gate + i);
#pragma unroll
    for (int k = 0; k < N; ++k)
      h.v[k] = fmaf(gate == nullptr ? 1.0f : factor.v[k], other.v[k], h.v[k]);
  };
  const auto finish = [&](int i, Pack<float, N>& h) {
    const Pack<float, N> stretch = LoadF<N>(scale + i), offset = LoadF<N>(shift + i);
#pragma unroll
    for (int k = 0; k < N; ++k) h.v[k] = fmaf(h.v[k], 1.0f + stretch.v[k], offset.v[k]);
  };
  NormRow<N, kAdd>(team, ys, rstds, xs, sums, width, eps, warp_sums, add, finish);
}

// alongs[row] = rstd^2 mean_i(g_i h_i), how far the gradient lies along h.
template <typename T, int N, int kTeam>
__global__ void __launch_bounds__(kNormThreads)
    AlongKernel(float* alongs, MatrixRows<T> dys, MatrixRows<T> xs, MatrixRows<float> scales,
                const float* rstds, SampleRows samples, int64_t rows, int width) {
  __shared__ float warp_sums[kNormThreads / kWarp];
  const TeamRow<kTeam> team(rows);
  const int end = team.active ? width : 0;
  const T* x = team.active ? xs[team.row] : nullptr;
  const T* dy = team.active ? dys[team.row] : nullptr;
  const float* scale = scales[team.active ? samples.SampleOf(team.row) : 0];
  float dot = 0.0f;
#pragma unroll 4
  for (int i = team.member * N; i < end; i += kTeam * N) {
    const Pack<float, N> stretch = LoadF<N>(scale + i), h = LoadF<N>(x + i), g = LoadF<N>(dy + i);
#pragma unroll
    for (int k = 0; k < N; ++k) dot = fmaf((1.0f + stretch.v[k]) * g.v[k], h.v[k], dot);
  }
  dot = TeamSum<kTeam>(dot, warp_sums);
  if (!team.active || team.member != 0) return;
  const float rstd = rstds[team.row];
  alongs[team.row] = rstd * rstd * dot / static_cast<float>(width);
}

// d_shifts.data may be null, with d_scales.data; and so may d_sums.data.
template <typename T, int N>
__global__ void __launch_bounds__(kTileThreads)
    ModulatedNormBackwardKernel(MatrixRows<T> dxs, MatrixRows<float> d_shifts,
                                MatrixRows<float> d_scales, MatrixRows<T> dys, MatrixRows<T> xs,
                                MatrixRows<float> scales, const float* rstds, const float* alongs,
                                MatrixRows<T> d_sums, SampleRows samples, int64_t rows, int width) {
  const SampleTile<N> tile(samples, rows, width);
  const int column = tile.column;
  Pack<float, N> stretch = {};
  if (column < width) stretch = LoadF<N>(scales[tile.sample] + column);
  float sums[2][N] = {};
#pragma unroll 2
  for (int64_t row = tile.row; row < tile.end; row += kTileRows) {
    const Pack<float, N> h = LoadF<N>(xs[row] + column), g = LoadF<N>(dys[row] + column);
    Pack<float, N> extra = {};
    if (d_sums.data != nullptr) extra = LoadF<N>(d_sums[row] + column);
    const float rstd = rstds[row], along = alongs[row];
    Pack<float, N> out;
#pragma unroll
    for (int k = 0; k < N; ++k) {
      sums[0][k] += g.v[k];
      sums[1][k] = fmaf(g.v[k], h.v[k] * rstd, sums[1][k]);
      const float inner = fmaf(-h.v[k], along, (1.0f + stretch.v[k]) * g.v[k]);
      out.v[k] = d_sums.data != nullptr ? fmaf(inner, rstd, extra.v[k]) : inner * rstd;
    }
    StoreF(dxs[row] + column, out);
  }
  if (d_shifts.data == nullptr) return;
  SumTile(tile, sums, {d_shifts[tile.sample], d_scales[tile.sample]});
}

}  // namespace

void ModulatedNorm(Stream& stream, const ModulatedNormArgs& args) {
  if (args.x.elements() == 0) return;
  const int64_t rows = args.x.shape[0], width = args.x.shape[1];
  WithFloatType(args.x.dtype, [&](auto type) {
    using T = decltype(type);
    const bool vectors = width % kVector<T> == 0 && Aligned(args.y, args.x, args.shift, args.scale,
                                                            args.residual, args.gate, args.sum);
    WithVector<kVector<T>>(vectors, [&](auto n) {
      WithTeam<n>(width, [&](auto team) {
        constexpr int kN = decltype(n)::value, kTeam = decltype(team)::value;
        const bool add = static_cast<bool>(args.residual);
        Launch(add ? ModulatedNormKernel<T, kN, kTeam, true>
                   : ModulatedNormKernel<T, kN, kTeam, false>,
               NormBlocks(rows, kTeam), kNormThreads, 0, stream, MatrixRows<T>(args.y),
               args.rstd ? args.rstd.as<float>() : nullptr, MatrixRows<T>(args.x),
               MatrixRows<float>(args.shift), MatrixRows<float>(args.scale),
               RowsOrNone<T>(args.residual), RowsOrNone<float>(args.gate), RowsOrNone<T>(args.sum),
               args.samples, rows, static_cast<int>(width), args.eps);
      });
    });
  });
}

// Two passes: the second, by samples, finds rows in the cache that the first has read.
void ModulatedNormBackward(Stream& stream, const ModulatedNormBackwardArgs& args) {
  const int64_t rows = args.x.shape[0], width = args.x.shape[1];
  if (width == 0) return;
  auto* alongs = reinterpret_cast<float*>(
      stream.Scratch(static_cast<size_t>(ModulatedNormBackwardScratch(rows))));
  WithFloatType(args.x.dtype, [&](auto type) {
    using T = decltype(type);
    const bool vectors =
        width % kVector<T> == 0 && Aligned(args.dx, args.dy, args.x, args.scale, args.d_sum);
    WithVector<kVector<T>>(vectors, [&](auto n) {
      WithTeam<n>(width, [&](auto team) {
        constexpr int kN = decltype(n)::value, kTeam = decltype(team)::value;
        Launch(AlongKernel<T, kN, kTeam>, NormBlocks(rows, kTeam), kNormThreads, 0, stream, alongs,
               MatrixRows<T>(args.dy), MatrixRows<T>(args.x), MatrixRows<float>(args.scale),
               args.rstd.as<float>(), args.samples, rows, static_cast<int>(width));
      });
      Launch(ModulatedNormBackwardKernel<T, n>, TileBlocks(args.scale.shape[0], width, n),
             kTileThreads, 0, stream, MatrixRows<T>(args.dx), RowsOrNone<float>(args.d_shift),
             RowsOrNone<float>(args.d_scale), MatrixRows<T>(args.dy), MatrixRows<T>(args.x),
             MatrixRows<float>(args.scale), args.rstd.as<float>(), alongs,
             RowsOrNone<T>(args.d_sum), args.samples, rows, static_cast<int>(width));
    });
  });
}

}  // namespace tl::cuda
