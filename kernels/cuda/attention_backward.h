// SPDX-License-Identifier: Apache-2.0
// What comes before and after the backward kernel of attention_backward.cu: the kernel that
// prepares each query's statistics and the one that rounds dQ, with the tiles and the scratch that
// the three share.
#pragma once

#include <limits>
#include <numbers>
#include <utility>

#include "kernels/cuda/attention_params.h"
#include "kernels/cuda/common.h"
#include "kernels/cuda/mma_tiles.h"

namespace tl::cuda {

// Head sizes are padded to kD. A block makes kOut columns of dQ, dK and dV: all of them, or, where
// registers do not hold these, half, and S and dP are formed twice.
// S and dP are formed for kSlice queries at a time.
template <typename Element, int kHead, int kOutCols, int kQueries, int kSliceQueries, int kKeys>
struct BackwardTraits {
  using T = Element;
  static constexpr int kD = kHead, kOut = kOutCols, kM = kQueries, kN = kKeys;
  static constexpr int kSlice = kSliceQueries;
  static constexpr int kWarps = kN / 16;
  static constexpr int kThreads = 32 * kWarps;
  static constexpr int kParts = kD / kOut;
  using QTile = SharedTile<T, kM, kD>;
  using KTile = SharedTile<T, kN, kD>;
  using DsTile = SharedTile<T, kN, kM>;  // dS^T
  static constexpr int kSharedBytes = 4 * QTile::kBytes + 2 * KTile::kBytes + DsTile::kBytes;
  static constexpr int kStaticBytes = 2 * 16 * kM + 128;
  // Of dQ's tile each warp makes 16 rows, and kDqCols columns of kOut.
  static constexpr int kDqRowWarps = kM / 16;
  static constexpr int kDqCols = kOut * kDqRowWarps / kWarps;
  using Dq = Accumulators<1, kDqCols / 8>;
  using OutTile = SharedTile<T, kM, kOut>;  // dQ
  using SumTile = SharedTile<T, kN, kOut>;  // dK, dV
  static constexpr int kDqFloats = kM * kOut;
  static constexpr int kSumFloats = 2 * kN * kOut;
  // As AttentionBackwardScratch has it.
  static_assert(kM >= 32 && kN >= 64 && kParts <= 2);
  static_assert(kD % kOut == 0 && kWarps % kDqRowWarps == 0 && kDqCols % 16 == 0);
};

// Scratch. Rows of queries are padded to whole tiles: pad rows have the last row's keys, weights of
// zero. dq and sums hold a tile's accumulators as its warps' lanes hold them.
struct BackwardScratch {
  int* ticket;
  int* turns;      // [B, Hq, tiles, parts]: how many blocks have added to this tile of dQ
  int* sum_turns;  // [key blocks, B, Hkv, parts]: how many heads have added to these dK and dV
  float* lse;      // [B, Hq, rows], in units of log 2; +inf where a query sees no key
  float* delta;    // [B, Hq, rows]
  int* begin;      // [B, rows]: the keys that a query sees
  int* end;
  float* dq;    // [B, Hq, tiles, parts, kM kOut]
  float* sums;  // [key blocks, B, Hkv, parts, 2 kN kOut]: dK and dV, where heads share them
  int tiles, rows;
};

// Where the scratch lies, in words from its start.
template <class Traits>
struct BackwardLayout {
  int tiles, rows, key_blocks;
  int64_t words = 0;
  int64_t ticket, turns, sum_turns, lse, delta, begin, end, dq, sums;

  explicit BackwardLayout(const BackwardParams& p)
      : tiles(CeilDiv(p.mask.tq, Traits::kM)),
        rows(tiles * Traits::kM),
        key_blocks(CeilDiv(p.mask.tk, Traits::kN)) {
    const int64_t heads = int64_t{p.batch} * p.q_heads, dq_tiles = heads * tiles * Traits::kParts;
    const bool shared = p.q_heads > p.k_heads;
    const int64_t sum_tiles =
        shared ? int64_t{key_blocks} * p.batch * p.k_heads * Traits::kParts : 0;
    const auto take = [this](int64_t count) {  // in cache lines
      return std::exchange(words, words + CeilDiv(count, 32) * 32);
    };
    ticket = take(1);
    turns = take(dq_tiles);
    sum_turns = take(sum_tiles);
    lse = take(heads * rows);
    delta = take(heads * rows);
    begin = take(int64_t{p.batch} * rows);
    end = take(int64_t{p.batch} * rows);
    dq = take(dq_tiles * Traits::kDqFloats);
    sums = take(sum_tiles * Traits::kSumFloats);
  }
  size_t bytes() const { return static_cast<size_t>(words) * 4; }
  // What must be zero before the first block.
  size_t counter_bytes() const { return static_cast<size_t>(lse) * 4; }
  BackwardScratch At(std::byte* memory) const {
    int* const i = reinterpret_cast<int*>(memory);
    float* const f = reinterpret_cast<float*>(memory);
    return {i + ticket, i + turns, i + sum_turns, f + lse, f + delta, i + begin,
            i + end,    f + dq,    f + sums,      tiles,   rows};
  }
};

// kPrepareTeam lanes to a query.
template <class Traits>
constexpr int kPrepareTeam = Traits::kD <= 64    ? 8
                             : Traits::kD <= 128 ? 16
                                                 : 32;
constexpr int kPrepareThreads = 128;

template <class Traits>
__global__ void __launch_bounds__(kPrepareThreads)
    PrepareKernel(BackwardParams p, BackwardScratch scratch) {
  using T = typename Traits::T;
  constexpr int kLanes = kPrepareTeam<Traits>;
  const int row = static_cast<int>(blockIdx.x) * (kPrepareThreads / kLanes) +
                  static_cast<int>(threadIdx.x) / kLanes;
  const int64_t head = blockIdx.y, b = blockIdx.z;
  const int tq = p.mask.tq, chunk = static_cast<int>(threadIdx.x) % kLanes;
  float delta = 0.0f;
  if (row < tq && chunk * 8 < p.d) {
    const uint4 o = *reinterpret_cast<const uint4*>(p.o.At<const T>(b, row, head) + chunk * 8);
    const uint4 d_o = *reinterpret_cast<const uint4*>(p.d_o.At<const T>(b, row, head) + chunk * 8);
    const uint32_t x[4] = {o.x, o.y, o.z, o.w}, y[4] = {d_o.x, d_o.y, d_o.z, d_o.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float2 a = UnpackPair<T>(x[i]), c = UnpackPair<T>(y[i]);
      delta = fmaf(a.x, c.x, delta);
      delta = fmaf(a.y, c.y, delta);
    }
  }
  delta = WarpSum<kLanes>(delta);
  if (chunk != 0 || row >= scratch.rows) return;
  const int64_t padded = (b * p.q_heads + head) * scratch.rows + row;
  float lse = std::numeric_limits<float>::infinity();
  if (row < tq) {
    const int64_t statistic = (b * p.q_heads + head) * tq + row;
    p.delta[statistic] = delta;
    const float given = p.lse[statistic];
    if (given != -std::numeric_limits<float>::infinity())
      lse = given * std::numbers::log2e_v<float>;
  }
  scratch.lse[padded] = lse;
  scratch.delta[padded] = delta;
  if (head == 0) {
    const Range range = p.mask.Keys(b, row < tq ? row : tq - 1);
    scratch.begin[b * scratch.rows + row] = range.begin;
    scratch.end[b * scratch.rows + row] = range.end;
  }
}

// Scales and rounds dQ; a block to a tile, its threads as in BackwardKernel.
template <class Traits>
__global__ void __launch_bounds__(Traits::kThreads)
    FinishKernel(BackwardParams p, BackwardScratch scratch) {
  using T = typename Traits::T;
  TL_DYNAMIC_SHARED(std::byte, shared);
  const typename Traits::OutTile tile{reinterpret_cast<T*>(shared)};
  const int index = static_cast<int>(blockIdx.x) / Traits::kParts;
  const int part = static_cast<int>(blockIdx.x) % Traits::kParts;
  const int64_t head = blockIdx.y, b = blockIdx.z;
  const int lane = Lane(), warp = static_cast<int>(threadIdx.x) / 32, q0 = index * Traits::kM;
  const int* const rows = scratch.begin + b * scratch.rows + q0;
  const int begin = rows[0], end = scratch.end[b * scratch.rows + q0 + Traits::kM - 1];
  typename Traits::Dq dq;
  dq.Clear();
  // Whether any block has added to this tile.
  if (begin / Traits::kN < (end + Traits::kN - 1) / Traits::kN) {
    const int64_t at = ((b * p.q_heads + head) * scratch.tiles + index) * Traits::kParts + part;
    const float* const from =
        scratch.dq + at * Traits::kDqFloats + warp * Traits::kDqCols / 2 * 32 + lane;
#pragma unroll
    for (int i = 0; i < Traits::kDqCols / 2; ++i) dq.at[0][i / 4][i % 4] = from[i * 32];
  }
  dq.Scale(p.scale);
  StoreTile(tile, warp % Traits::kDqRowWarps * 16, warp / Traits::kDqRowWarps * Traits::kDqCols,
            dq);
  __syncthreads();
  constexpr int kRows = Traits::kM / Traits::kWarps;
  const int col = part * Traits::kOut, cols = p.d - col < Traits::kOut ? p.d - col : Traits::kOut;
  StoreRows<kRows, Traits::kOut>(tile, warp * kRows, p.dq.At<T>(b, q0, head) + col, p.dq.row,
                                 p.mask.tq - q0, cols);
}

}  // namespace tl::cuda
