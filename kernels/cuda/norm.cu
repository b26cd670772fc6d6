#include "kernels/norm.h"

#include <algorithm>

#include "kernels/cuda/column_sums.h"
#include "kernels/cuda/common.h"

namespace tl::cuda {
namespace {

constexpr int kThreads = 256;
// One row is the work of a team: half a warp, a warp or a block. A thread keeps kKept vectors of
// its row in registers between the sum and the output; where a row has more, it reads them again.
template <int kTeam>
constexpr int kKept = kTeam < kWarp ? 1 : 4;

// Calls f(Int<kTeam>()) with the smallest team that keeps a row of this width in registers.
template <int N, class F>
void WithTeam(int64_t width, const F& f) {
  if (width <= 16 * N * kKept<16>) {
    f(Int<16>());
  } else if (width <= kWarp * N * kKept<kWarp>) {
    f(Int<kWarp>());
  } else {
    f(Int<kThreads>());
  }
}

template <typename T, int N, int kTeam, bool kAdd>
__global__ void __launch_bounds__(kThreads)
    RmsNormKernel(Rows<T> ys, float* rstds, Rows<T> xs, const T* w, Rows<T> residuals, Rows<T> sums,
                  int64_t rows, int64_t width, float eps) {
  __shared__ float warp_sums[kThreads / kWarp];
  const int member = threadIdx.x % kTeam;
  const int64_t row = static_cast<int64_t>(blockIdx.x) * (kThreads / kTeam) + threadIdx.x / kTeam;
  const bool active = row < rows;  // all lanes must come to the sum
  const T* x = active ? xs[row] : nullptr;
  const T* residual = active && kAdd ? residuals[row] : nullptr;
  T* sum = active && kAdd ? sums[row] : nullptr;
  const int64_t end = active ? width : 0;
  constexpr int64_t kStep = kTeam * N;

  float squares = 0.0f;
  const auto read = [&](int64_t i) {
    Pack<T, N> h = LoadPack<N>(x + i);
    Pack<float, N> wide = Widen(h);
    if constexpr (kAdd) {
      const Pack<float, N> other = LoadF<N>(residual + i);
#pragma unroll
      for (int k = 0; k < N; ++k) wide.v[k] += other.v[k];
      h = Narrow<T>(wide);
      StorePack(sum + i, h);
      wide = Widen(h);
    }
#pragma unroll
    for (int k = 0; k < N; ++k) squares = fmaf(wide.v[k], wide.v[k], squares);
    return h;
  };
  Pack<T, N> kept[kKept<kTeam>] = {};
#pragma unroll
  for (int c = 0; c < kKept<kTeam>; ++c) {
    const int64_t i = c * kStep + member * N;
    if (i < end) kept[c] = read(i);
  }
  for (int64_t i = kKept<kTeam> * kStep + member * N; i < end; i += kStep) read(i);

  squares = TeamSum<kTeam>(squares, warp_sums);
  if (!active) return;
  const float rstd = 1.0f / sqrtf(squares / static_cast<float>(width) + eps);
  if (rstds != nullptr && member == 0) rstds[row] = rstd;
  T* y = ys[row];
  const auto write = [&](int64_t i, const Pack<T, N>& h) {
    Pack<float, N> out = Widen(h);
    const Pack<float, N> weight = LoadF<N>(w + i);
#pragma unroll
    for (int k = 0; k < N; ++k) out.v[k] = out.v[k] * rstd * weight.v[k];
    StoreF(y + i, out);
  };
#pragma unroll
  for (int c = 0; c < kKept<kTeam>; ++c) {
    const int64_t i = c * kStep + member * N;
    if (i < end) write(i, kept[c]);
  }
  for (int64_t i = kKept<kTeam> * kStep + member * N; i < end; i += kStep)
    write(i, LoadPack<N>((kAdd ? sum : x) + i));
}

// partials (or null): [blocks, width], receives each block's sum over its rows for dw. A thread has
// the same columns in every row, and sums them in registers.
template <typename T, int N, int kTeam>
__global__ void __launch_bounds__(kThreads, 2)
    RmsNormBackwardKernel(Rows<T> dxs, float* partials, Rows<T> dys, Rows<T> xs, const T* w,
                          const float* rstds, Rows<T> d_sums, int64_t rows, int64_t width) {
  constexpr int kTeams = kThreads / kTeam, kKeep = kKept<kTeam>;
  constexpr int64_t kStep = kTeam * N;
  __shared__ float warp_sums[kThreads / kWarp];
  const int member = threadIdx.x % kTeam, team = threadIdx.x / kTeam;
  float* partial = partials == nullptr ? nullptr : partials + blockIdx.x * width;
  float dw[kKeep][N] = {};
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kTeams;
  for (int64_t base = first; base < rows; base += static_cast<int64_t>(gridDim.x) * kTeams) {
    const int64_t row = base + team;
    const bool active = row < rows;
    const int64_t end = active ? width : 0;
    const T* x = active ? xs[row] : nullptr;
    const T* dy = active ? dys[row] : nullptr;
    float dot = 0.0f;
    const auto add = [&](int64_t i, const Pack<T, N>& hs, const Pack<T, N>& gs) {
      const Pack<float, N> weight = LoadF<N>(w + i);
#pragma unroll
      for (int k = 0; k < N; ++k) dot = fmaf(weight.v[k] * Widen(gs.v[k]), Widen(hs.v[k]), dot);
    };
    Pack<T, N> kept_x[kKeep] = {}, kept_dy[kKeep] = {};
#pragma unroll
    for (int c = 0; c < kKeep; ++c) {
      const int64_t i = c * kStep + member * N;
      if (i >= end) continue;
      kept_x[c] = LoadPack<N>(x + i);
      kept_dy[c] = LoadPack<N>(dy + i);
    }
#pragma unroll
    for (int c = 0; c < kKeep; ++c) {
      const int64_t i = c * kStep + member * N;
      if (i < end) add(i, kept_x[c], kept_dy[c]);
    }
    for (int64_t i = kKeep * kStep + member * N; i < end; i += kStep)
      add(i, LoadPack<N>(x + i), LoadPack<N>(dy + i));
    dot = TeamSum<kTeam>(dot, warp_sums);
    if (!active) continue;

    const float rstd = rstds[row];
    const float along = rstd * rstd * dot / static_cast<float>(width);
    T* dx = dxs[row];
    const T* d_sum = d_sums.data == nullptr ? nullptr : d_sums[row];
    const auto write = [&](int64_t i, const Pack<T, N>& hs, const Pack<T, N>& gs, float* column) {
      const Pack<float, N> weight = LoadF<N>(w + i);
      Pack<float, N> extra = {};
      if (d_sum != nullptr) extra = LoadF<N>(d_sum + i);
      Pack<float, N> out;
#pragma unroll
      for (int k = 0; k < N; ++k) {
        const float h = Widen(hs.v[k]), g = Widen(gs.v[k]);
        if (column != nullptr) column[k] = fmaf(g, h * rstd, column[k]);
        const float inner = fmaf(-h, along, weight.v[k] * g);
        out.v[k] = d_sum != nullptr ? fmaf(inner, rstd, extra.v[k]) : inner * rstd;
      }
      StoreF(dx + i, out);
    };
#pragma unroll
    for (int c = 0; c < kKeep; ++c) {
      const int64_t i = c * kStep + member * N;
      if (i < end) write(i, kept_x[c], kept_dy[c], dw[c]);
    }
    for (int64_t i = kKeep * kStep + member * N; i < end; i += kStep) {
      float column[N] = {};
      if (partial != nullptr && base != first) {
        for (int k = 0; k < N; ++k) column[k] = partial[i + k];
      }
      write(i, LoadPack<N>(x + i), LoadPack<N>(dy + i), column);
      if (partial == nullptr) continue;
      for (int k = 0; k < N; ++k) partial[i + k] = column[k];
    }
  }
  if (partial == nullptr) return;
  if constexpr (kTeams == 1) {
#pragma unroll
    for (int c = 0; c < kKeep; ++c) {
      const int64_t i = c * kStep + member * N;
      if (i >= width) continue;
#pragma unroll
      for (int k = 0; k < N; ++k) partial[i + k] = dw[c][k];
    }
  } else {
    // The teams add their sums in turn. Lanes lie side by side, for the banks' sake.
    __shared__ float block_dw[kKeep][N][kTeam];
    for (int turn = 0; turn < kTeams; ++turn) {
      if (team == turn) {
#pragma unroll
        for (int c = 0; c < kKeep; ++c) {
#pragma unroll
          for (int k = 0; k < N; ++k) {
            float& sum = block_dw[c][k][member];
            sum = turn == 0 ? dw[c][k] : sum + dw[c][k];
          }
        }
      }
      __syncthreads();
    }
    for (int64_t i = threadIdx.x; i < width; i += kThreads)
      partial[i] = block_dw[i / kStep][i % N][i % kStep / N];
  }
}

}  // namespace

void RmsNorm(Stream& stream, const RmsNormArgs& args) {
  CheckSameShape(args.y, args.x);
  CheckSameType(args.y, args.x);
  CheckSameType(args.w, args.x);
  CheckShape(args.w, {args.x.shape[-1]});
  TL_CHECK(static_cast<bool>(args.residual) == static_cast<bool>(args.sum));
  if (args.residual) {
    TL_CHECK_EQ(args.x.rank(), 2);
    CheckSameShape(args.residual, args.x);
    CheckSameShape(args.sum, args.x);
    CheckSameType(args.residual, args.x);
    CheckSameType(args.sum, args.x);
  }
  if (args.x.elements() == 0) return;
  const int64_t width = args.x.shape[-1], rows = args.x.elements() / width;
  if (args.rstd) {
    TL_CHECK_EQ(args.rstd.elements(), rows);
    CheckContiguous(args.rstd);
  }
  WithFloatType(args.x.dtype, [&](auto type) {
    using T = decltype(type);
    const bool vectors =
        width % kVector<T> == 0 && Aligned(args.y, args.x, args.w, args.residual, args.sum);
    WithVector<kVector<T>>(vectors, [&](auto n) {
      WithTeam<n>(width, [&](auto team) {
        constexpr int kN = decltype(n)::value, kTeam = decltype(team)::value;
        const bool add = static_cast<bool>(args.residual);
        Launch(add ? RmsNormKernel<T, kN, kTeam, true> : RmsNormKernel<T, kN, kTeam, false>,
               Blocks(CeilDiv(rows, kThreads / kTeam)), kThreads, 0, stream, Rows<T>(args.y),
               args.rstd ? args.rstd.as<float>() : nullptr, Rows<T>(args.x), args.w.as<T>(),
               add ? Rows<T>(args.residual) : Rows<T>(), add ? Rows<T>(args.sum) : Rows<T>(), rows,
               width, args.eps);
      });
    });
  });
}

// Scratch: blocks x width fp32, for at most 264 blocks (two for each processor of an H100) where a
// block works on one row, else 1056.
void RmsNormBackward(Stream& stream, const RmsNormBackwardArgs& args) {
  CheckSameShape(args.dx, args.x);
  CheckSameShape(args.dy, args.x);
  CheckSameType(args.dx, args.x);
  CheckSameType(args.dy, args.x);
  CheckSameType(args.w, args.x);
  if (args.d_sum) {
    CheckSameShape(args.d_sum, args.x);
    CheckSameType(args.d_sum, args.x);
  }
  const int64_t width = args.x.shape[-1];
  CheckShape(args.w, {width});
  const int64_t rows = width == 0 ? 0 : args.x.elements() / width;
  TL_CHECK_EQ(args.rstd.elements(), rows);
  CheckContiguous(args.rstd);
  if (args.dw) CheckShape(args.dw, {width});
  WithFloatType(args.x.dtype, [&](auto type) {
    using T = decltype(type);
    const bool vectors =
        width % kVector<T> == 0 && Aligned(args.dx, args.dy, args.x, args.w, args.d_sum);
    WithVector<kVector<T>>(vectors, [&](auto n) {
      WithTeam<n>(width, [&](auto team) {
        constexpr int kN = decltype(n)::value, kTeam = decltype(team)::value;
        const int64_t blocks =
            std::min<int64_t>(CeilDiv(rows, kThreads / kTeam), kTeam == kThreads ? 264 : 1056);
        float* partials = nullptr;
        if (args.dw) {
          const auto bytes = static_cast<size_t>(blocks * width) * sizeof(float);
          partials = reinterpret_cast<float*>(stream.Scratch(bytes));
        }
        Launch(RmsNormBackwardKernel<T, kN, kTeam>, Blocks(blocks), kThreads, 0, stream,
               Rows<T>(args.dx), partials, Rows<T>(args.dy), Rows<T>(args.x), args.w.as<T>(),
               args.rstd.as<float>(), args.d_sum ? Rows<T>(args.d_sum) : Rows<T>(), rows, width);
        if (args.dw) SumParts(stream, args.dw, partials, blocks, args.accumulate_dw);
      });
    });
  });
}

}  // namespace tl::cuda
