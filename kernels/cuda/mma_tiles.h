// SPDX-License-Identifier: Apache-2.0
// Tiles for tensor-core kernels: 16-bit matrices in shared memory, swizzled so that ldmatrix and
// the copies that fill them meet no bank conflicts, and the fragments of mma.m16n8k16 made from
// them. Fragment layouts are those of the PTX manual: lane l of a warp holds, of an accumulator's
// 16 x 8 block, rows l / 4 and l / 4 + 8, columns 2 (l % 4) and the next.
#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/ptx.h"

namespace tl::cuda {

// A row-major [kRows, kCols] matrix in shared memory. A 16-byte chunk lies in its row at its index
// xor bits of the row's number: eight consecutive rows of one chunk column cover all banks.
template <typename T, int kRowCount, int kColCount>
struct SharedTile {
  static_assert(sizeof(T) == 2 && kColCount % 32 == 0 && kRowCount % 8 == 0);
  static constexpr int kRows = kRowCount;
  static constexpr int kCols = kColCount;
  static constexpr int kChunks = kCols / 8;
  static constexpr int kBytes = kRows * kCols * 2;

  T* data;

  // What a row's number adds to its chunks' indices. With rows of an odd number of half bank lines
  // the row's lowest bit already picks the half.
  static __device__ int Swizzle(int row) { return kCols % 64 == 0 ? row & 7 : (row >> 1) & 3; }
  __device__ T* Chunk(int row, int chunk) const {
    return data + row * kCols + (chunk ^ Swizzle(row)) * 8;
  }
  // Chunk(row0 + row, chunk0 + chunk) for row0 a multiple of 8, chunk0 even, chunk 0 or 1. Written
  // so that few registers hold all addresses of a lane: where row0 and chunk0 are constants, only
  // chunk0's part within the swizzle's period is more than a constant offset.
  __device__ T* Chunk(int row0, int row, int chunk0, int chunk) const {
    constexpr int kPeriod = kCols % 64 == 0 ? 8 : 4;
    const int within = (chunk ^ Swizzle(row)) ^ (chunk0 % kPeriod);
    return data + row * kCols + within * 8 + row0 * kCols + chunk0 / kPeriod * kPeriod * 8;
  }
};

// exp2 by one instruction; results below 2^-126 are zero.
#if defined(TL_SIMT)
inline float Exp2(float x) { return exp2f(x); }
#else
__device__ inline float Exp2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
#endif

__device__ inline int Lane() { return static_cast<int>(threadIdx.x) % 32; }

// Copies rows [first, rows) of width `cols` (a multiple of 8) into the tile, asynchronously, by all
// threads of the block; what lies around them becomes zero. Rows start at multiples of 16 bytes;
// first <= rows.
template <int kThreads, typename T, int kRows, int kCols>
__device__ inline void CopyTileAsync(const SharedTile<T, kRows, kCols>& tile, const T* src,
                                     int64_t stride, int rows, int cols, int first = 0) {
  // Threads stand in rows of a cache line each, or half a one.
  constexpr int kWide = kCols % 64 == 0 ? 8 : 4;
  constexpr int kHigh = kThreads / kWide;
  static_assert(kRows % kHigh == 0 && kHigh % 8 == 0);
  const int row = static_cast<int>(threadIdx.x) / kWide;
  const int chunk = static_cast<int>(threadIdx.x) % kWide;
  const T* from = src + row * stride + chunk * 8;
  T* to = tile.Chunk(row, chunk);
#pragma unroll
  for (int i = 0; i < kRows / kHigh; ++i, from += kHigh * stride) {
#pragma unroll
    for (int j = 0; j < kCols / (8 * kWide); ++j) {
      const bool valid =
          static_cast<unsigned>(row + i * kHigh - first) < static_cast<unsigned>(rows - first) &&
          (chunk + j * kWide) * 8 < cols;
      ptx::CpAsync16(to + i * kHigh * kCols + j * kWide * 8, valid ? from + j * kWide * 8 : src,
                     valid);
    }
  }
}

// The fragment of A = tile[row .. row + 16, col .. col + 16].
template <class Tile>
__device__ inline void LoadA(const Tile& tile, int row, int col, uint32_t (&a)[4]) {
  ptx::LdMatrixX4(a, tile.Chunk(row, Lane() & 15, col / 8, Lane() >> 4));
}

// The fragment of A = tile[row .. row + 16, col .. col + 16]^T.
template <class Tile>
__device__ inline void LoadATransposed(const Tile& tile, int row, int col, uint32_t (&a)[4]) {
  const int lane = Lane();
  ptx::LdMatrixX4Trans(a, tile.Chunk(row, (lane & 7) + (lane >> 4) * 8, col / 8, (lane >> 3) & 1));
}

// The fragments of two 16 x 8 operands B, side by side. B = tile[row .. row + 16, col .. col + 16].
template <class Tile>
__device__ inline void LoadB(const Tile& tile, int row, int col, uint32_t (&b)[2][2]) {
  uint32_t r[4];
  ptx::LdMatrixX4Trans(r, tile.Chunk(row, Lane() & 15, col / 8, Lane() >> 4));
  b[0][0] = r[0], b[0][1] = r[1], b[1][0] = r[2], b[1][1] = r[3];
}

// The same of B = tile[row .. row + 16, col .. col + 16]^T.
template <class Tile>
__device__ inline void LoadBTransposed(const Tile& tile, int row, int col, uint32_t (&b)[2][2]) {
  const int lane = Lane();
  uint32_t r[4];
  ptx::LdMatrixX4(r, tile.Chunk(row, (lane & 7) + (lane >> 4) * 8, col / 8, (lane >> 3) & 1));
  b[0][0] = r[0], b[0][1] = r[1], b[1][0] = r[2], b[1][1] = r[3];
}

__device__ inline void Mma(__nv_bfloat16, float (&d)[4], const uint32_t (&a)[4],
                           const uint32_t (&b)[2]) {
  ptx::MmaBf16(d, a, b);
}
__device__ inline void Mma(__half, float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  ptx::MmaFp16(d, a, b);
}

// Accumulators of a warp's [16 kM, 8 kN] block.
template <int kM, int kN>
struct Accumulators {
  static_assert(kN % 2 == 0);
  float at[kM][kN][4];
  __device__ void Clear() {
#pragma unroll
    for (int i = 0; i < kM; ++i)
#pragma unroll
      for (int j = 0; j < kN; ++j)
#pragma unroll
        for (int c = 0; c < 4; ++c) at[i][j][c] = 0.0f;
  }
  __device__ void Scale(float factor) {
#pragma unroll
    for (int i = 0; i < kM; ++i)
#pragma unroll
      for (int j = 0; j < kN; ++j)
#pragma unroll
        for (int c = 0; c < 4; ++c) at[i][j][c] *= factor;
  }
};

// acc += A B over kSteps steps of 16. load_a(i, step, a) loads A's fragment of rows 16 i,
// load_b(j, step, b) B's two of columns 16 j.
template <typename T, int kSteps, int kM, int kN, class LoadAFn, class LoadBFn>
__device__ inline void Multiply(Accumulators<kM, kN>& acc, const LoadAFn& load_a,
                                const LoadBFn& load_b) {
#pragma unroll
  for (int step = 0; step < kSteps; ++step) {
    uint32_t a[kM][4];
#pragma unroll
    for (int i = 0; i < kM; ++i) load_a(i, step, a[i]);
#pragma unroll
    for (int j = 0; j < kN / 2; ++j) {
      uint32_t b[2][2];
      load_b(j, step, b);
#pragma unroll
      for (int i = 0; i < kM; ++i) {
        Mma(T{}, acc.at[i][2 * j], a[i], b[0]);
        Mma(T{}, acc.at[i][2 * j + 1], a[i], b[1]);
      }
    }
  }
}

// Two values of T in one register, `low` first in memory.
template <typename T>
__device__ inline uint32_t PackPair(float low, float high);
template <>
__device__ inline uint32_t PackPair<__nv_bfloat16>(float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  return *reinterpret_cast<const uint32_t*>(&pair);
}
template <>
__device__ inline uint32_t PackPair<__half>(float low, float high) {
  const __half2 pair = __floats2half2_rn(low, high);
  return *reinterpret_cast<const uint32_t*>(&pair);
}

template <typename T>
__device__ inline float2 UnpackPair(uint32_t pair);
template <>
__device__ inline float2 UnpackPair<__nv_bfloat16>(uint32_t pair) {
  return __bfloat1622float2(*reinterpret_cast<const __nv_bfloat162*>(&pair));
}
template <>
__device__ inline float2 UnpackPair<__half>(uint32_t pair) {
  return __half22float2(*reinterpret_cast<const __half2*>(&pair));
}

// Accumulators' columns [16 step, 16 step + 16), rounded to T, are a fragment of A.
template <typename T, int kM, int kN>
__device__ inline void PackA(const Accumulators<kM, kN>& acc, int i, int step, uint32_t (&a)[4]) {
  const auto& left = acc.at[i][2 * step];
  const auto& right = acc.at[i][2 * step + 1];
  a[0] = PackPair<T>(left[0], left[1]);
  a[1] = PackPair<T>(left[2], left[3]);
  a[2] = PackPair<T>(right[0], right[1]);
  a[3] = PackPair<T>(right[2], right[3]);
}

// Stores a warp's block, rounded to T, at [row, col] of a tile.
template <class Tile, int kM, int kN>
__device__ inline void StoreTile(const Tile& tile, int row, int col,
                                 const Accumulators<kM, kN>& acc) {
  using T = std::remove_pointer_t<decltype(tile.data)>;
  const int lane = Lane();
#pragma unroll
  for (int i = 0; i < kM; ++i) {
#pragma unroll
    for (int j = 0; j < kN; ++j) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        T* chunk = tile.Chunk(row + 16 * i + 8 * half + lane / 4, col / 8 + j);
        reinterpret_cast<uint32_t*>(chunk)[lane % 4] =
            PackPair<T>(acc.at[i][j][2 * half], acc.at[i][j][2 * half + 1]);
      }
    }
  }
}

// A warp writes rows [row0, row0 + kRowCount) of a tile, kCols columns of them, in pieces of 16
// bytes: row r of the tile goes to to + r stride. Rows from `rows` on and columns from `cols` on
// are left out.
template <int kRowCount, int kCols, class Tile, typename T>
__device__ inline void StoreRows(const Tile& tile, int row0, T* to, int64_t stride, int rows,
                                 int cols) {
  constexpr int kChunks = kCols / 8;
  static_assert(kRowCount * kChunks % 32 == 0);
#pragma unroll
  for (int i = 0; i < kRowCount * kChunks / 32; ++i) {
    const int row = row0 + (32 * i + Lane()) / kChunks;
    const int chunk = (32 * i + Lane()) % kChunks;
    if (row < rows && chunk * 8 < cols) {
      *reinterpret_cast<uint4*>(to + row * stride + chunk * 8) =
          *reinterpret_cast<const uint4*>(tile.Chunk(row, chunk));
    }
  }
}

// Over the four lanes that share an accumulator's row.
__device__ inline float RowMax(float x) {
  x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 1));
  return fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 2));
}
__device__ inline float RowSum(float x) {
  x += __shfl_xor_sync(0xffffffffu, x, 1);
  return x + __shfl_xor_sync(0xffffffffu, x, 2);
}

}  // namespace tl::cuda
