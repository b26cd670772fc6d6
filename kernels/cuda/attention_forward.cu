// SPDX-License-Identifier: Apache-2.0
// The forward pass on tensor cores (mma.sync). A block owns kM queries of one head and walks over
// the keys that they see, last tile first; keys and values each have one buffer, filled while the
// other is in use.
#include <limits>
#include <numbers>

#include "kernels/cuda/attention_params.h"
#include "kernels/cuda/common.h"
#include "kernels/cuda/mma_tiles.h"

namespace tl::cuda {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Head sizes are padded to kD. Each warp owns kRowTiles x 16 queries and all keys of a tile.
template <typename Element, int kHead, int kQueries, int kKeys, int kWarpCount>
struct ForwardTraits {
  using T = Element;
  static constexpr int kD = kHead, kM = kQueries, kN = kKeys, kWarps = kWarpCount;
  static constexpr int kThreads = 32 * kWarps;
  static constexpr int kRowTiles = kM / (16 * kWarps);
  static constexpr int kBlocksPerSm = kWarps == 4 ? 2 : 1;
  using QTile = SharedTile<T, kM, kD>;
  using KTile = SharedTile<T, kN, kD>;
  using Scores = Accumulators<kRowTiles, kN / 8>;
  using Sums = Accumulators<kRowTiles, kD / 8>;
  static constexpr int kSharedBytes = QTile::kBytes + 2 * KTile::kBytes;
  static constexpr int kStaticBytes = 2 * kM * static_cast<int>(sizeof(int));
  static_assert(kThreads >= kM && kSharedBytes <= 160 << 10);
};

// Row statistics of the online softmax. A lane holds 2 kRowTiles rows: of the maximum all of it,
// of the sum its share.
template <int kRowTiles>
struct SoftmaxRows {
  float max[kRowTiles][2];
  float sum[kRowTiles][2];
};

// Scores outside their rows' ranges become -inf. begin, end: the ranges of the warp's rows.
template <int kRowTiles, int kColTiles>
__device__ inline void MaskScores(Accumulators<kRowTiles, kColTiles>& s, const int* begin,
                                  const int* end, int k0) {
  const int lane = Lane();
#pragma unroll
  for (int i = 0; i < kRowTiles; ++i) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = 16 * i + 8 * half + lane / 4;
      const int first = begin[row] - k0, last = end[row] - k0;
#pragma unroll
      for (int j = 0; j < kColTiles; ++j) {
#pragma unroll
        for (int c = 0; c < 2; ++c) {
          const int col = 8 * j + 2 * (lane % 4) + c;
          if (col < first || col >= last) s.at[i][j][2 * half + c] = -kInfinity;
        }
      }
    }
  }
}

// s becomes exp2(factor s - shift) with the rows' new maxima as shifts; sums are rescaled to them.
// factor > 0.
template <int kRowTiles, int kColTiles, int kSumTiles>
__device__ inline void Softmax(Accumulators<kRowTiles, kColTiles>& s,
                               Accumulators<kRowTiles, kSumTiles>& o, SoftmaxRows<kRowTiles>& rows,
                               float factor) {
#pragma unroll
  for (int i = 0; i < kRowTiles; ++i) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float max = rows.max[i][half];
#pragma unroll
      for (int j = 0; j < kColTiles; ++j)
        max = fmaxf(max, fmaxf(s.at[i][j][2 * half], s.at[i][j][2 * half + 1]));
      max = RowMax(max);
      // A row that has seen no key yet keeps -inf, from which no -inf must be subtracted.
      const float shift = max == -kInfinity ? 0.0f : max * factor;
      const float correction = Exp2(fmaf(rows.max[i][half], factor, -shift));
      float sum = rows.sum[i][half] * correction;
#pragma unroll
      for (int j = 0; j < kColTiles; ++j) {
#pragma unroll
        for (int c = 0; c < 2; ++c) {
          float& x = s.at[i][j][2 * half + c];
          x = Exp2(fmaf(x, factor, -shift));
          sum += x;
        }
      }
#pragma unroll
      for (int j = 0; j < kSumTiles; ++j) {
        o.at[i][j][2 * half] *= correction;
        o.at[i][j][2 * half + 1] *= correction;
      }
      rows.max[i][half] = max;
      rows.sum[i][half] = sum;
    }
  }
}

// O and LSE of the warp's rows. O passes through the warp's own part of Q's tile, which no one
// needs any more, so that rows are written in pieces of 16 bytes.
template <class Traits>
__device__ inline void StoreForward(const ForwardParams& p, const typename Traits::QTile& tile,
                                    typename Traits::Sums& o, SoftmaxRows<Traits::kRowTiles>& rows,
                                    float factor, int64_t b, int64_t head, int q0) {
  using T = typename Traits::T;
  const int lane = Lane();
  const int warp_row = static_cast<int>(threadIdx.x) / 32 * 16 * Traits::kRowTiles;
  float* lse = p.lse + (b * p.q_heads + head) * p.mask.tq;
#pragma unroll
  for (int i = 0; i < Traits::kRowTiles; ++i) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float sum = RowSum(rows.sum[i][half]);
      const float max = rows.max[i][half] == -kInfinity ? 0.0f : rows.max[i][half] * factor;
      const float inverse = sum == 0.0f ? 0.0f : 1.0f / sum;
      const int query = q0 + warp_row + 16 * i + 8 * half + lane / 4;
      if (lane % 4 == 0 && query < p.mask.tq)
        lse[query] = sum == 0.0f ? -kInfinity : fmaf(max, std::numbers::ln2_v<float>, logf(sum));
#pragma unroll
      for (int j = 0; j < Traits::kD / 8; ++j) {
        o.at[i][j][2 * half] *= inverse;
        o.at[i][j][2 * half + 1] *= inverse;
      }
    }
  }
  StoreTile(tile, warp_row, 0, o);
  __syncwarp();
  StoreRows<16 * Traits::kRowTiles, Traits::kD>(tile, warp_row, p.o.At<T>(b, q0, head), p.o.row,
                                                p.mask.tq - q0, p.d);
}

template <class Traits>
__global__ void __launch_bounds__(Traits::kThreads, Traits::kBlocksPerSm)
    ForwardKernel(ForwardParams p) {
  using T = typename Traits::T;
  constexpr int kM = Traits::kM, kN = Traits::kN, kD = Traits::kD, kThreads = Traits::kThreads;
  TL_DYNAMIC_SHARED(std::byte, shared);
  __shared__ int begin[kM];
  __shared__ int end[kM];
  const typename Traits::QTile q_tile{reinterpret_cast<T*>(shared)};
  const typename Traits::KTile k_tile{q_tile.data + kM * kD};
  const typename Traits::KTile v_tile{k_tile.data + kN * kD};

  // Under a causal mask the last queries see the most keys: they go first.
  const int q0 = static_cast<int>(gridDim.x - 1 - blockIdx.x) * kM;
  const int64_t head = blockIdx.y, b = blockIdx.z, k_head = head / (p.q_heads / p.k_heads);
  const int tid = static_cast<int>(threadIdx.x);
  const int tq = p.mask.tq, tk = p.mask.tk;
  CopyTileAsync<kThreads>(q_tile, p.q.At<const T>(b, q0, head), p.q.row, tq - q0, p.d);
  if (tid < kM) {
    const Range range = p.mask.Keys(b, q0 + tid < tq ? q0 + tid : tq - 1);
    begin[tid] = range.begin;
    end[tid] = range.end;
  }
  __syncthreads();
  // Of the tiles' first keys. The last is before the first where there are no keys.
  const int first = begin[0];
  const int last = first + ((end[kM - 1] - first + kN - 1) / kN - 1) * kN;
  const int warp_row = tid / 32 * 16 * Traits::kRowTiles;

  const float factor = p.factor;
  typename Traits::Sums o;
  o.Clear();
  SoftmaxRows<Traits::kRowTiles> rows;
#pragma unroll
  for (int i = 0; i < Traits::kRowTiles; ++i) {
    rows.max[i][0] = rows.max[i][1] = -kInfinity;
    rows.sum[i][0] = rows.sum[i][1] = 0.0f;
  }
  if (first <= last)
    CopyTileAsync<kThreads>(k_tile, p.k.At<const T>(b, last, k_head), p.k.row, tk - last, p.d);
  ptx::CpAsyncCommit();
  for (int k0 = last; k0 >= first; k0 -= kN) {
    ptx::CpAsyncWait<0>();
    __syncthreads();  // the keys are here, and no one needs the last values any more
    // Values that no query sees may be anything, NaN too: here they would meet a weight of zero.
    CopyTileAsync<kThreads>(v_tile, p.v.At<const T>(b, k0, k_head), p.v.row, end[kM - 1] - k0, p.d);
    ptx::CpAsyncCommit();
    typename Traits::Scores s;
    s.Clear();
    Multiply<T, kD / 16>(
        s,
        [&](int i, int step, uint32_t(&a)[4]) { LoadA(q_tile, warp_row + 16 * i, 16 * step, a); },
        [&](int j, int step, uint32_t(&f)[2][2]) {
          LoadBTransposed(k_tile, 16 * j, 16 * step, f);
        });
    ptx::CpAsyncWait<0>();
    __syncthreads();  // the values are here, and no one needs these keys any more
    if (k0 > first) {
      CopyTileAsync<kThreads>(k_tile, p.k.At<const T>(b, k0 - kN, k_head), p.k.row, kN, p.d);
      ptx::CpAsyncCommit();
    }
    // The largest of factor s is found as factor times the largest s.
    if (p.scale < 0.0f) {
#pragma unroll
      for (int i = 0; i < Traits::kRowTiles; ++i)
#pragma unroll
        for (int j = 0; j < kN / 8; ++j)
#pragma unroll
          for (int c = 0; c < 4; ++c) s.at[i][j][c] = -s.at[i][j][c];
    }
    if (begin[kM - 1] > k0 || end[0] < k0 + kN) MaskScores(s, begin + warp_row, end + warp_row, k0);
    Softmax(s, o, rows, factor);
    // Accumulators of S are, rounded, the fragments of P.
    Multiply<T, kN / 16>(
        o, [&](int i, int step, uint32_t(&a)[4]) { PackA<T>(s, i, step, a); },
        [&](int j, int step, uint32_t(&f)[2][2]) { LoadB(v_tile, 16 * step, 16 * j, f); });
  }
  ptx::CpAsyncWait<0>();
  __syncthreads();  // Q has landed even where no tile was walked over
  StoreForward<Traits>(p, q_tile, o, rows, factor, b, head, q0);
}

template <typename T, class F>
bool WithTraits(int d, const F& f) {
  if (d <= 64) return WithFirstThatFits<ForwardTraits<T, 64, 128, 64, 4>>(f);
  if (d <= 96) return WithFirstThatFits<ForwardTraits<T, 96, 128, 64, 4>>(f);
  if (d <= 128) return WithFirstThatFits<ForwardTraits<T, 128, 128, 32, 4>>(f);
  if (d <= 192) return WithFirstThatFits<ForwardTraits<T, 192, 128, 64, 8>>(f);
  // The second for GPUs with 99 KiB for a block.
  return WithFirstThatFits<ForwardTraits<T, 256, 128, 64, 8>, ForwardTraits<T, 256, 64, 32, 4>>(f);
}

template <class F>
bool WithTraits(const ForwardParams& p, DType dtype, const F& f) {
  return dtype == DType::kBF16 ? WithTraits<__nv_bfloat16>(p.d, f) : WithTraits<__half>(p.d, f);
}

}  // namespace

bool AttentionForwardMma(Stream& stream, const ForwardParams& p, DType dtype) {
  return WithTraits(p, dtype, [&]<class Traits>(Traits) {
    const dim3 grid(static_cast<unsigned>(CeilDiv(p.mask.tq, Traits::kM)),
                    static_cast<unsigned>(p.q_heads), static_cast<unsigned>(p.batch));
    Launch(ForwardKernel<Traits>, grid, dim3(Traits::kThreads), size_t{Traits::kSharedBytes},
           stream, p);
  });
}

}  // namespace tl::cuda
