// SPDX-License-Identifier: Apache-2.0
#include "kernels/norm.h"

#include <algorithm>

#include "kernels/cuda/column_sums.h"
#include "kernels/cuda/common.h"
#include "kernels/cuda/norm_rows.h"

namespace tl::cuda {
namespace {

constexpr int kThreads = kNormThreads;

template <typename T, int N, int kTeam, bool kAdd>
__global__ void __launch_bounds__(kThreads)
    RmsNormKernel(Rows<T> ys, float* rstds, Rows<T> xs, const T* w, Rows<T> residuals, Rows<T> sums,
                  int64_t rows, int width, float eps) {
  __shared__ float warp_sums[kThreads / kWarp];
  const TeamRow<kTeam> team(rows);
  const T* residual = team.active && kAdd ? residuals[team.row] : nullptr;
  const auto add = [&](int i, Pack<float, N>& h) {
    const Pack<float, N> other = LoadF<N>(residual + i);
#pragma unroll
    for (int k = 0; k < N; ++k) h.v[k] += other.v[k];
  };
  const auto finish = [&](int i, Pack<float, N>& h) {
    const Pack<float, N> weight = LoadF<N>(w + i);
#pragma unroll
    for (int k = 0; k < N; ++k) h.v[k] *= weight.v[k];
  };
  NormRow<N, kAdd>(team, ys, rstds, xs, sums, width, eps, warp_sums, add, finish);
}

// partials (or null): [blocks, width], receives each block's sum over its rows for dw. A thread has
// the same columns in every row. The second pass over a row finds it in the cache.
template <typename T, int N, int kTeam>
__global__ void __launch_bounds__(kThreads, 2)
    RmsNormBackwardKernel(Rows<T> dxs, float* partials, Rows<T> dys, Rows<T> xs, const T* w,
                          const float* rstds, Rows<T> d_sums, int64_t rows, int width) {
  constexpr int kTeams = kThreads / kTeam, kSums = kSummed<kTeam>;
  constexpr int kStep = kTeam * N;
  __shared__ float warp_sums[kThreads / kWarp];
  const int member = threadIdx.x % kTeam, team = threadIdx.x / kTeam;
  float* partial = partials == nullptr ? nullptr : partials + int64_t{blockIdx.x} * width;
  float dw[kSums][N] = {};
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kTeams;
  for (int64_t base = first; base < rows; base += static_cast<int64_t>(gridDim.x) * kTeams) {
    const int64_t row = base + team;
    const bool active = row < rows;
    const int end = active ? width : 0;
    const T* x = active ? xs[row] : nullptr;
    const T* dy = active ? dys[row] : nullptr;
    float dot = 0.0f;
#pragma unroll 4
    for (int i = member * N; i < end; i += kStep) {
      const Pack<float, N> weight = LoadF<N>(w + i), h = LoadF<N>(x + i), g = LoadF<N>(dy + i);
#pragma unroll
      for (int k = 0; k < N; ++k) dot = fmaf(weight.v[k] * g.v[k], h.v[k], dot);
    }
    dot = TeamSum<kTeam>(dot, warp_sums);
    if (!active) continue;

    const float rstd = rstds[row];
    const float along = rstd * rstd * dot / static_cast<float>(width);
    T* dx = dxs[row];
    const T* d_sum = d_sums.data == nullptr ? nullptr : d_sums[row];
    const auto write = [&](int i, float(&column)[N]) {
      const Pack<float, N> weight = LoadF<N>(w + i), h = LoadF<N>(x + i), g = LoadF<N>(dy + i);
      Pack<float, N> extra = {};
      if (d_sum != nullptr) extra = LoadF<N>(d_sum + i);
      Pack<float, N> out;
#pragma unroll
      for (int k = 0; k < N; ++k) {
        column[k] = fmaf(g.v[k], h.v[k] * rstd, column[k]);
        const float inner = fmaf(-h.v[k], along, weight.v[k] * g.v[k]);
        out.v[k] = d_sum != nullptr ? fmaf(inner, rstd, extra.v[k]) : inner * rstd;
      }
      StoreF(dx + i, out);
    };
#pragma unroll
    for (int c = 0; c < kSums; ++c) {
      const int i = c * kStep + member * N;
      if (i < end) write(i, dw[c]);
    }
    for (int i = kSums * kStep + member * N; i < end; i += kStep) {
      float column[N] = {};
      if (partial != nullptr && base != first) {
        for (int k = 0; k < N; ++k) column[k] = partial[i + k];
      }
      write(i, column);
      if (partial == nullptr) continue;
      for (int k = 0; k < N; ++k) partial[i + k] = column[k];
    }
  }
  if (partial == nullptr) return;
  if constexpr (kTeams == 1) {
#pragma unroll
    for (int c = 0; c < kSums; ++c) {
      const int i = c * kStep + member * N;
      if (i >= width) continue;
#pragma unroll
      for (int k = 0; k < N; ++k) partial[i + k] = dw[c][k];
    }
  } else {
    // The teams add their sums in turn. Lanes lie side by side, for the banks' sake.
    __shared__ float block_dw[kSums][N][kTeam];
    for (int turn = 0; turn < kTeams; ++turn) {
      if (team == turn) {
#pragma unroll
        for (int c = 0; c < kSums; ++c) {
#pragma unroll
          for (int k = 0; k < N; ++k) {
            float& sum = block_dw[c][k][member];
            sum = turn == 0 ? dw[c][k] : sum + dw[c][k];
          }
        }
      }
      __syncthreads();
    }
    for (int i = threadIdx.x; i < width; i += kThreads)
      partial[i] = block_dw[i / kStep][i % N][i % kStep / N];
  }
}

}  // namespace

void RmsNorm(Stream& stream, const RmsNormArgs& args) {
  if (args.x.elements() == 0) return;
  const int64_t width = args.x.shape[-1], rows = args.x.elements() / width;
  WithFloatType(args.x.dtype, [&](auto type) {
    using T = decltype(type);
    const bool vectors =
        width % kVector<T> == 0 && Aligned(args.y, args.x, args.w, args.residual, args.sum);
    WithVector<kVector<T>>(vectors, [&](auto n) {
      WithTeam<n>(width, [&](auto team) {
        constexpr int kN = decltype(n)::value, kTeam = decltype(team)::value;
        const bool add = static_cast<bool>(args.residual);
        Launch(add ? RmsNormKernel<T, kN, kTeam, true> : RmsNormKernel<T, kN, kTeam, false>,
               NormBlocks(rows, kTeam), kThreads, 0, stream, Rows<T>(args.y),
               args.rstd ? args.rstd.as<float>() : nullptr, Rows<T>(args.x), args.w.as<T>(),
               add ? Rows<T>(args.residual) : Rows<T>(), add ? Rows<T>(args.sum) : Rows<T>(), rows,
               static_cast<int>(width), args.eps);
      });
    });
  });
}

// At most 264 blocks (two for each processor of an H100) where a block works on one row.
void RmsNormBackward(Stream& stream, const RmsNormBackwardArgs& args) {
  const int64_t width = args.x.shape[-1];
  const int64_t rows = width == 0 ? 0 : args.x.elements() / width;
  WithFloatType(args.x.dtype, [&](auto type) {
    using T = decltype(type);
    const bool vectors =
        width % kVector<T> == 0 && Aligned(args.dx, args.dy, args.x, args.w, args.d_sum);
    WithVector<kVector<T>>(vectors, [&](auto n) {
      WithTeam<n>(width, [&](auto team) {
        constexpr int kN = decltype(n)::value, kTeam = decltype(team)::value;
        const int64_t blocks =
            std::min<int64_t>(CeilDiv(rows, kThreads / kTeam),
                              kTeam == kThreads ? kRmsNormMostBlocks / 4 : kRmsNormMostBlocks);
        float* partials = nullptr;
        if (args.dw) {
          const auto bytes = static_cast<size_t>(RmsNormBackwardScratch(blocks, width));
          partials = reinterpret_cast<float*>(stream.Scratch(bytes));
        }
        Launch(RmsNormBackwardKernel<T, kN, kTeam>, Blocks(blocks), kThreads, 0, stream,
               Rows<T>(args.dx), partials, Rows<T>(args.dy), Rows<T>(args.x), args.w.as<T>(),
               args.rstd.as<float>(), args.d_sum ? Rows<T>(args.d_sum) : Rows<T>(), rows,
               static_cast<int>(width));
        if (args.dw) SumParts(stream, args.dw, partials, blocks, args.accumulate_dw);
      });
    });
  });
}

}  // namespace tl::cuda
