// SPDX-License-Identifier: Apache-2.0
// What the norms' kernels share: who works on a row, and the forward pass over it.
#pragma once

#include "kernels/cuda/common.h"
#include "kernels/norm.h"

namespace tl::cuda {

constexpr int kNormThreads = 256;
// One row is the work of a team: half a warp, a warp or a block. The forward pass keeps the first
// kKept vectors of each thread in registers between the sum and the output and reads the others
// again; RmsNorm's backward pass has registers for the sums over rows of kSummed vectors.
template <int kTeam>
constexpr int kKept = kTeam < kWarp ? 1 : 2;
template <int kTeam>
constexpr int kSummed = kTeam < kWarp ? 1 : 4;

// Calls f(Int<kTeam>()) with the smallest team that is enough for rows of this width.
template <int N, class F>
void WithTeam(int64_t width, const F& f) {
  TL_CHECK_LT(width, int64_t{1} << 30);  // kernels count columns in 32 bits
  if (width <= 16 * N * kSummed<16>) {
    f(Int<16>());
  } else if (width <= kWarp * N * kSummed<kWarp>) {
    f(Int<kWarp>());
  } else {
    f(Int<kNormThreads>());
  }
}

// A grid has NormBlocks(rows, kTeam) blocks of kNormThreads.
inline dim3 NormBlocks(int64_t rows, int team) {
  return Blocks(CeilDiv(rows, kNormThreads / team));
}

// The row of a thread's team, and its place in the team.
template <int kTeam>
struct TeamRow {
  int64_t row;
  bool active;  // else there is no such row; but all lanes must come to the sums
  int member;

  __device__ explicit TeamRow(int64_t rows)
      : row(static_cast<int64_t>(blockIdx.x) * (kNormThreads / kTeam) + threadIdx.x / kTeam),
        active(row < rows),
        member(threadIdx.x % kTeam) {}
};

// y = finish(h / rms(h)), h = x or, with kAdd, add(x) rounded and written to sum. add and finish
// change a pack in place: f(i, h) that of columns [i, i + N). rstds may be null.
template <int N, bool kAdd, int kTeam, template <typename> class R, typename T, class Add,
          class Finish>
__device__ inline void NormRow(const TeamRow<kTeam>& team, const R<T>& ys, float* rstds,
                               const R<T>& xs, const R<T>& sums, int width, float eps,
                               float* warp_sums, const Add& add, const Finish& finish) {
  const T* x = team.active ? xs[team.row] : nullptr;
  T* sum = team.active && kAdd ? sums[team.row] : nullptr;
  const int end = team.active ? width : 0;
  constexpr int kStep = kTeam * N;

  // Single 16-bit values take no less room than fp32.
  using Held = std::conditional_t<N == 1, float, T>;
  float squares = 0.0f;
  const auto read = [&](int i) {
    Pack<T, N> h = LoadPack<N>(x + i);
    Pack<float, N> wide = Widen(h);
    if constexpr (kAdd) {
      add(i, wide);
      h = Narrow<T>(wide);
      StorePack(sum + i, h);
      wide = Widen(h);
    }
#pragma unroll
    for (int k = 0; k < N; ++k) squares = fmaf(wide.v[k], wide.v[k], squares);
    if constexpr (std::is_same_v<Held, T>) {
      return h;
    } else {
      return wide;
    }
  };
  Pack<Held, N> kept[kKept<kTeam>] = {};
#pragma unroll
  for (int c = 0; c < kKept<kTeam>; ++c) {
    const int i = c * kStep + team.member * N;
    if (i < end) kept[c] = read(i);
  }
  for (int i = kKept<kTeam> * kStep + team.member * N; i < end; i += kStep) read(i);

  squares = TeamSum<kTeam>(squares, warp_sums);
  if (!team.active) return;
  const float rstd = InverseRms(squares, width, eps);
  if (rstds != nullptr && team.member == 0) rstds[team.row] = rstd;
  T* y = ys[team.row];
  const auto write = [&](int i, Pack<float, N> h) {
#pragma unroll
    for (int k = 0; k < N; ++k) h.v[k] *= rstd;
    finish(i, h);
    StoreF(y + i, h);
  };
#pragma unroll
  for (int c = 0; c < kKept<kTeam>; ++c) {
    const int i = c * kStep + team.member * N;
    if (i < end) write(i, Widen(kept[c]));
  }
  for (int i = kKept<kTeam> * kStep + team.member * N; i < end; i += kStep)
    write(i, LoadF<N>((kAdd ? sum : x) + i));
}

}  // namespace tl::cuda
