// SPDX-License-Identifier: Apache-2.0
// Which keys and which head a block of the backward kernel takes, and the turns in which blocks add
// to the same sums: to a tile of dQ in the order of their keys, to dK and dV in the order of a
// group's query heads. So the bits of the sums depend on the shapes alone.
//
// No wait is for ever. A block takes its keys and its head by a ticket once it runs, and waits for
// blocks of earlier tickets alone: of the blocks that run, the one of the earliest ticket never
// waits. Under a causal mask the earliest have the most work. Blocks begin at their last queries,
// so those that start together follow each other at the distance of one addition; from the first
// queries on, each would first wait for all before it to come to its own.
#pragma once

#include "kernels/cuda/attention_backward.h"
#include "kernels/cuda/attention_params.h"
#include "kernels/cuda/common.h"
#include "kernels/cuda/mma_tiles.h"

namespace tl::cuda {

// What a block works on, found by its ticket; in shared memory to spare registers.
template <typename T>
struct BlockWork {
  int key_block, part, k_head, b;
  int before;  // heads of the group before this block's
  int sum;     // index of its tile of dK and dV
  const T* q;  // of its head, from the first query on
  const T* d_o;
  int64_t statistic;  // index of its head's first query in lse and delta
  int64_t dq_tile;    // index of its part of dQ's first tile
  int* turn;          // at dQ, that the block has, or null
  int taken;          // how many blocks have had it
};

// Tickets count [key blocks, B, Hkv, parts, heads of a group].
template <class Traits, typename T>
__device__ inline void FindWork(const BackwardParams& p, const BackwardScratch& scratch,
                                BlockWork<T>& work) {
  const int ticket = ptx::AtomicAdd(scratch.ticket, 1), group = p.group();
  const int sum = ticket / group, column = sum / Traits::kParts, row = column / p.k_heads;
  const int part = sum % Traits::kParts, k_head = column % p.k_heads, before = ticket % group;
  const int64_t b = row % p.batch, head = k_head * group + before, index = b * p.q_heads + head;
  work = {.key_block = row / p.batch,
          .part = part,
          .k_head = k_head,
          .b = static_cast<int>(b),
          .before = before,
          .sum = sum,
          .q = p.q.At<const T>(b, 0, head),
          .d_o = p.d_o.At<const T>(b, 0, head),
          .statistic = index * scratch.rows,
          .dq_tile = index * scratch.tiles * Traits::kParts + part,
          .turn = nullptr,
          .taken = 0};
}

__device__ inline int WarpCount(int x) {
#pragma unroll
  for (int step = kWarp / 2; step > 0; step /= 2) x += __shfl_xor_sync(kAllLanes, x, step);
  return x;
}

// Tiles of queries whose keys, first to last, meet [k0, k0 + n). The first block that adds to a
// tile of dQ is the one with that tile's first key; every block between it and the last adds.
__device__ inline Range TilesThatSee(const int* begin, const int* end, int tiles, int m, int k0,
                                     int n) {
  int before = 0, until = 0;
  for (int tile = Lane(); tile < tiles; tile += 32) {
    before += end[tile * m + m - 1] <= k0 ? 1 : 0;
    until += begin[tile * m] < k0 + n ? 1 : 0;
  }
  return {WarpCount(before), WarpCount(until)};
}

// Waits until `count` blocks have added to what `turn` guards. For whole warps.
__device__ inline void WaitForTurn(const int* turn, int count) {
  if (Lane() == 0) {
    while (ptx::LoadAcquire(turn) != count) {
    }
  }
  __syncwarp();
}

// Adds a warp's accumulators to those at `to`, which the first one to add overwrites.
template <int kCols>
__device__ inline void AddTo(float* to, const Accumulators<1, kCols>& acc, bool first) {
  to += Lane();
  if (first) {
#pragma unroll
    for (int i = 0; i < 4 * kCols; ++i) to[i * 32] = acc.at[0][i / 4][i % 4];
  } else {
#pragma unroll
    for (int i = 0; i < 4 * kCols; ++i) ptx::AtomicAdd(to + i * 32, acc.at[0][i / 4][i % 4]);
  }
}

// Adds those at `from` to a warp's accumulators.
template <int kCols>
__device__ inline void AddFrom(const float* from, Accumulators<1, kCols>& acc) {
#pragma unroll
  for (int i = 0; i < 4 * kCols; ++i) acc.at[0][i / 4][i % 4] += from[i * 32 + Lane()];
}

}  // namespace tl::cuda
