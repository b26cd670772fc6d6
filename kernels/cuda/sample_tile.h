// SPDX-License-Identifier: Apache-2.0
// Sums over the rows of each sample, beside what is done to the rows.
#pragma once

#include "kernels/cuda/common.h"
#include "kernels/sample_rows.h"

namespace tl::cuda {

// The rows of a [rows, width] view.
template <typename T>
struct MatrixRows {
  T* data = nullptr;
  int64_t stride = 0;

  MatrixRows() = default;
  explicit MatrixRows(const Tensor& t) : data(t.as<T>()), stride(t.strides[0]) {}
  __device__ T* operator[](int64_t i) const { return data + i * stride; }
};
// No rows where there is no tensor.
template <typename T>
MatrixRows<T> RowsOrNone(const Tensor& t) {
  return t ? MatrixRows<T>(t) : MatrixRows<T>();
}

constexpr int kTileThreads = 256;
constexpr int kTileColumns = 4;  // vectors of N: 64 bytes of a row where they have 16
constexpr int kTileRows = kTileThreads / kTileColumns;

// A block has a tile of columns of one sample: its thread has N columns of every kTileRows-th row.
// A grid has TileBlocks(samples, width, N) blocks of kTileThreads.
inline dim3 TileBlocks(int64_t samples, int64_t width, int n) {
  TL_CHECK_LT(width, int64_t{1} << 30);  // kernels count columns in 32 bits
  return Blocks(samples * CeilDiv(width, int64_t{kTileColumns} * n));
}

template <int N>
struct SampleTile {
  int64_t sample;
  int first_column;  // of the tile
  int column;        // of the thread
  int64_t row, end;  // of the thread: its first, and the end of the sample's
  int width;

  __device__ SampleTile(const SampleRows& samples, int64_t rows, int width) : width(width) {
    const auto tiles = static_cast<unsigned>(CeilDiv(width, kTileColumns * N));
    sample = blockIdx.x / tiles;
    first_column = static_cast<int>(blockIdx.x % tiles) * (kTileColumns * N);
    column = first_column + static_cast<int>(threadIdx.x) % kTileColumns * N;
    row = samples.Begin(sample, rows) + threadIdx.x / kTileColumns;
    end = column < width ? samples.Begin(sample + 1, rows) : 0;
  }
};

// totals[k], a row of the tile's sample, receives in the tile's columns the sum of sums[k] over the
// tile's rows, in an order that depends on their number alone. All threads of the block must come.
template <int N, int kSums>
__device__ inline void SumTile(const SampleTile<N>& tile, float (&sums)[kSums][N],
                               float* const (&totals)[kSums]) {
  constexpr int kWarps = kTileThreads / kWarp, kWide = kTileColumns * N;
  static_assert(kSums * kWide <= kTileThreads);
  __shared__ float shared[kWarps][kSums * kWide];
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
#pragma unroll
  for (int k = 0; k < kSums; ++k) {
#pragma unroll
    for (int n = 0; n < N; ++n) {
      float sum = sums[k][n];
#pragma unroll
      for (int step = kTileColumns; step < kWarp; step *= 2)
        sum += __shfl_xor_sync(kAllLanes, sum, step);
      if (lane < kTileColumns) shared[warp][k * kWide + lane * N + n] = sum;
    }
  }
  __syncthreads();
  const int i = threadIdx.x;
  const int column = tile.first_column + i % kWide;
  if (i >= kSums * kWide || column >= tile.width) return;
  float total = shared[0][i];
#pragma unroll
  for (int w = 1; w < kWarps; ++w) total += shared[w][i];
#pragma unroll
  for (int k = 0; k < kSums; ++k) {
    if (i / kWide == k) totals[k][column] = total;
  }
}

}  // namespace tl::cuda
