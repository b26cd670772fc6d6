// SPDX-License-Identifier: Apache-2.0
#include "kernels/cached_attention.h"

#include <algorithm>

#include "kernels/checks.h"

namespace tl {
namespace {

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Chunks that hold keys of one row.
int64_t MostChunks(int64_t keys, int64_t window) {
  const int64_t all = std::max<int64_t>(1, CeilDiv(keys, kKeyChunk));
  return window > 0 ? std::min(all, CeilDiv(window - 1, kKeyChunk) + 1) : all;
}

}  // namespace

void CheckArgs(const CachedAttentionArgs& args) {
  TL_CHECK(args.q.rank() == 3 && args.k.rank() == 4);
  const int64_t rows = args.q.shape[0];
  CheckSameShape(args.o, args.q);
  CheckSameShape(args.v, args.k);
  TL_CHECK(args.k.shape[3] == args.q.shape[2] && args.k.shape[1] > 0 &&
           args.q.shape[1] % args.k.shape[1] == 0)
      << ToString(args.q.shape) << " over " << ToString(args.k.shape);
  for (const Tensor* x : {&args.o, &args.q, &args.k, &args.v}) {
    CheckSameType(*x, args.q);
    CheckLastAxis(*x);
  }
  CheckShape(args.sequences, {rows});
  CheckShape(args.prefix, {rows});
  CheckShape(args.ancestors, {rows, kTreeKeys / 32});
  CheckContiguous(args.ancestors);
  TL_CHECK(0 <= args.window && 0 <= args.most_keys && args.most_keys <= args.k.shape[2])
      << "window " << args.window << ", " << args.most_keys << " keys in "
      << ToString(args.k.shape);
}

CachedAttentionLaunch LaunchOf(const CachedAttentionArgs& args) {
  const int64_t rows = args.q.shape[0], q_heads = args.q.shape[1], d = args.q.shape[2];
  const int64_t key_heads = args.k.shape[1], group = q_heads / key_heads;
  const int64_t keys = args.most_keys > 0 ? args.most_keys : args.k.shape[2];
  CachedAttentionLaunch launch;
  launch.chunks = MostChunks(keys, args.window);
  launch.heads = group == 1 ? 1 : group <= 4 ? 4 : 8;
  launch.tiles = key_heads * CeilDiv(group, launch.heads);
  launch.merge_blocks = launch.chunks > 1 ? rows * q_heads : 0;
  launch.scratch_bytes = CachedAttentionScratch(rows, q_heads, d, keys, args.window);
  return launch;
}

int64_t CachedAttentionScratch(int64_t rows, int64_t q_heads, int64_t d, int64_t keys,
                               int64_t window) {
  const int64_t chunks = MostChunks(keys, window);
  // Weighted values, greatest score and sum of weights.
  return chunks > 1 ? rows * q_heads * chunks * (d + 2) * int64_t{sizeof(float)} : 0;
}

}  // namespace tl
