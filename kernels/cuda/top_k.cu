// SPDX-License-Identifier: Apache-2.0
#include "kernels/top_k.h"

#include "kernels/cuda/common.h"

namespace tl::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;
constexpr uint64_t kNone = 0;

// One number that orders elements as the op does: by value, then by falling column. No element has
// kNone, and no two of a row have the same.
__device__ inline uint64_t KeyOf(float value, int64_t column) {
  uint32_t order = 1;  // NaN
  if (value == value) {
    const uint32_t bits = __float_as_uint(value == 0.0f ? 0.0f : value);
    order = (bits >> 31) != 0 ? ~bits : bits | 0x80000000u;
  }
  return static_cast<uint64_t>(order) << 32 | static_cast<uint32_t>(~static_cast<int32_t>(column));
}
__device__ inline float ValueOf(uint64_t key) {
  const auto order = static_cast<uint32_t>(key >> 32);
  if (key == kNone) return __uint_as_float(0xff800000u);  // -inf
  if (order == 1) return __uint_as_float(0x7fc00000u);
  return __uint_as_float((order >> 31) != 0 ? order & 0x7fffffffu : ~order);
}
__device__ inline int32_t ColumnOf(uint64_t key) {
  return static_cast<int32_t>(~static_cast<uint32_t>(key));
}

// Gives the block's k largest keys in order to put(rank, key), in one thread. at(i): key i of
// `count`. Each thread keeps the largest of its own keys; whose is taken looks for its next.
template <class At, class Put>
__device__ inline void TakeLargest(int64_t count, int k, const At& at, const Put& put) {
  __shared__ uint64_t largest[2][kWarps];
  const int tid = static_cast<int>(threadIdx.x);
  const auto largest_below = [&](uint64_t limit) {
    uint64_t own = kNone;
    for (int64_t i = tid; i < count; i += kThreads) {
      const uint64_t key = at(i);
      if (own < key && key < limit) own = key;
    }
    return own;
  };
  uint64_t own = largest_below(~uint64_t{0});
  for (int rank = 0; rank < k; ++rank) {
    uint64_t key = own;
#pragma unroll
    for (int step = kWarp / 2; step > 0; step /= 2) {
      const uint64_t other = __shfl_xor_sync(kAllLanes, key, step);
      key = key < other ? other : key;
    }
    // Two sets, so that one barrier a round is enough.
    uint64_t* const set = largest[rank % 2];
    if (tid % kWarp == 0) set[tid / kWarp] = key;
    __syncthreads();
    key = set[0];
#pragma unroll
    for (int warp = 1; warp < kWarps; ++warp) key = key < set[warp] ? set[warp] : key;
    if (tid == 0) put(rank, key);
    if (own == key && own != kNone) own = largest_below(key);
  }
}

struct TopKParams {
  float* values;
  int32_t* ids;
  const float* x;
  uint64_t* keys;  // [rows, parts, k], where there are several parts
  int64_t columns, x_stride;
  int parts, k;

  __device__ void Store(int64_t row, int rank, uint64_t key) const {
    values[row * k + rank] = ValueOf(key);
    ids[row * k + rank] = key == kNone ? -1 : ColumnOf(key);
  }
};

// A block for each row and part of its columns.
__global__ void __launch_bounds__(kThreads) TopKPartKernel(TopKParams p) {
  const int64_t row = blockIdx.x / p.parts, part = blockIdx.x % p.parts;
  const int64_t begin = part * kTopKPart;
  const float* const x = p.x + row * p.x_stride + begin;
  const int64_t count = p.columns - begin < kTopKPart ? p.columns - begin : kTopKPart;
  TakeLargest(
      count, p.k, [&](int64_t i) { return KeyOf(x[i], begin + i); },
      [&](int rank, uint64_t key) {
        if (p.parts == 1) {
          p.Store(row, rank, key);
        } else {
          p.keys[blockIdx.x * static_cast<int64_t>(p.k) + rank] = key;
        }
      });
}

// A block for each row.
__global__ void __launch_bounds__(kThreads) TopKMergeKernel(TopKParams p) {
  const int64_t row = blockIdx.x, count = static_cast<int64_t>(p.parts) * p.k;
  const uint64_t* const keys = p.keys + row * count;
  TakeLargest(
      count, p.k, [&](int64_t i) { return keys[i]; },
      [&](int rank, uint64_t key) { p.Store(row, rank, key); });
}

}  // namespace

void TopK(Stream& stream, const TopKArgs& args) {
  const int64_t rows = args.x.shape[0], columns = args.x.shape[1], k = args.values.shape[1];
  const int64_t parts = columns > kTopKPart ? CeilDiv(columns, kTopKPart) : 1;
  const TopKParams p{.values = args.values.as<float>(),
                     .ids = args.ids.as<int32_t>(),
                     .x = args.x.as<float>(),
                     .keys = reinterpret_cast<uint64_t*>(
                         stream.Scratch(static_cast<size_t>(TopKScratch(rows, columns, k)))),
                     .columns = columns,
                     .x_stride = args.x.strides[0],
                     .parts = static_cast<int>(parts),
                     .k = static_cast<int>(k)};
  Launch(TopKPartKernel, Blocks(rows * parts), kThreads, 0, stream, p);
  if (parts > 1) Launch(TopKMergeKernel, Blocks(rows), kThreads, 0, stream, p);
}

}  // namespace tl::cuda
