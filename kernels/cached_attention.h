// SPDX-License-Identifier: Apache-2.0
// Attention of new tokens over a K/V cache, in which several possible continuations of a sequence
// may lie side by side: a tree of drafted tokens (tree attention, Miao et al. 2023; Cai et al.
// 2024).
#pragma once

#include "kernels/dispatch.h"

namespace tl {

constexpr int64_t kTreeKeys = 128;  // keys behind the prefix that a query may choose among
constexpr int64_t kKeyChunk = 512;  // keys of a row that one block of a CUDA device takes

// Row n is one new query of sequence s = sequences[n]. It sees the keys 0 .. prefix[n] - 1 of that
// sequence, and key prefix[n] + j for every bit j that is set in ancestors[n]: bit j % 32 of word
// j / 32. In this order, and with window > 0 only the last `window` of them, they are its keys t:
//   s_t = scale q . k_t;  o = sum_t softmax(s)_t v_t;  no keys: o = 0.
// The bits of a row depend on its query and on its keys in their order alone: not on where the keys
// of the tree lie, nor on the rows that go with it or the number of threads. So a drafted token
// gets the same bits in a tree as on its own. Sums are fp32. o, q: [N, Hq, D], strided but for the
// last axis; k, v: [S, Hkv, C, D], query head h uses key head h / (Hq / Hkv); all one type, fp32,
// bf16 or fp16. sequences, prefix: int32 [N]; ancestors: int32 [N, 4]. On CUDA devices D is at most
// 256, and a row whose keys lie outside of the cache, or that has more than most_keys, gives NaN;
// on CPUs it ends the program.
struct CachedAttentionArgs {
  Tensor o;
  Tensor q;
  Tensor k;
  Tensor v;
  Tensor sequences;
  Tensor prefix;
  Tensor ancestors;
  int64_t window = 0;     // 0: all
  int64_t most_keys = 0;  // no row has more, the window aside; 0: C
  float scale = 0.0f;     // 0: 1 / sqrt(D)
};
TL_DECLARE_OP(CachedAttention);

// What a CUDA device runs: keys t of a row are cut at the multiples of kKeyChunk, and a block takes
// one chunk of one row for the query heads of one key head, `heads` of them at a time; then a block
// for each row and query head merges the chunks in their order. A row within one chunk needs no
// merging. Chunks that the window leaves out are not run.
struct CachedAttentionLaunch {
  int64_t chunks = 1;        // of a row, at most
  int64_t heads = 1;         // 1, 4 or 8
  int64_t tiles = 1;         // Hkv * ceil(Hq / Hkv / heads); N * chunks * tiles blocks
  int64_t merge_blocks = 0;  // N * Hq, none where chunks = 1
  int64_t scratch_bytes = 0;
};
CachedAttentionLaunch LaunchOf(const CachedAttentionArgs& args);
// Returns the bytes of the stream's scratch that it takes on a CUDA device.
int64_t CachedAttentionScratch(int64_t rows, int64_t q_heads, int64_t d, int64_t keys,
                               int64_t window);

}  // namespace tl
