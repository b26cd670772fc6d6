// SPDX-License-Identifier: Apache-2.0
// Shapes, views and scratch memory that the forward and backward passes share.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "kernels/cpu/attention_mask.h"
#include "kernels/cpu/attention_tiles.h"

namespace tl::cpu {

inline int64_t RoundUp(int64_t n, int64_t granule) { return (n + granule - 1) / granule * granule; }

// Rows of a tile are skipped, and lengths padded, in steps of this many.
constexpr int64_t kRowGranule = 64;

// Sizes of one call; q_tile and k_tile are the padded tile heights.
struct AttentionShape {
  int64_t batch, tq, tk, q_heads, k_heads, group, d;
  int64_t q_tile, k_tile, q_tiles, k_tiles;
  DType dtype, tile_type;
  float scale;

  size_t tile_element() const { return SizeOf(tile_type); }
};

// The tile heights are upper bounds; short sequences get less.
AttentionShape ShapeOf(const Tensor& q, const Tensor& k, float scale, int64_t q_tile,
                       int64_t k_tile);

// The vector of one head at one position of a [B, T, H, D] tensor.
inline std::byte* Row(const Tensor& x, int64_t b, int64_t t, int64_t h) {
  return x.data + (b * x.strides[0] + t * x.strides[1] + h * x.strides[2]) *
                      static_cast<int64_t>(SizeOf(x.dtype));
}

// Hands out parts of one block of memory, 64-byte aligned; over a null base it only measures.
class Carver {
 public:
  explicit Carver(std::byte* base) : base_(base) {}
  template <typename T = std::byte>
  T* Take(int64_t count) {
    std::byte* p = base_ == nullptr ? nullptr : base_ + used_;
    used_ += static_cast<size_t>(RoundUp(count * static_cast<int64_t>(sizeof(T)), 64));
    return reinterpret_cast<T*>(p);
  }
  size_t used() const { return used_; }

 private:
  std::byte* base_;
  size_t used_ = 0;
};

// The ranges of every query and, for the backward pass, of every key; one set where all batch
// entries share a mask. Padded with empty ranges to whole tiles.
struct MaskRanges {
  int64_t entries, q_padded, k_padded;
  int32_t *lo, *hi, *q_lo, *q_hi;

  MaskRanges(Carver& carver, const AttentionShape& shape, bool segments, bool with_queries);
  void Fill(const AttentionShape& shape, const AttentionMask& mask);
  int64_t Entry(int64_t b) const { return entries == 1 ? 0 : b; }
  const int32_t* Lo(int64_t b) const { return lo + Entry(b) * q_padded; }
  const int32_t* Hi(int64_t b) const { return hi + Entry(b) * q_padded; }
  const int32_t* QLo(int64_t b) const { return q_lo + Entry(b) * k_padded; }
  const int32_t* QHi(int64_t b) const { return q_hi + Entry(b) * k_padded; }
};

// Of the tile of keys from k0 on: those between the first and the last that any query sees. What
// lies around them may be anything, and is made zero: NaN would come through a weight of zero.
Touched SeenKeys(const MaskRanges& ranges, const AttentionShape& shape, int64_t b, int64_t k0);

// Rows of a tile that a range of columns touches, widened to whole granules.
inline Touched TouchedGranules(const int32_t* lo, const int32_t* hi, int64_t rows, int64_t first,
                               int64_t last) {
  Touched touched = TouchedRows(lo, hi, rows, first, last);
  if (touched.begin == touched.end) return {};
  return {touched.begin / kRowGranule * kRowGranule,
          std::min(RoundUp(touched.end, kRowGranule), rows)};
}

// In how many parts to cut each of `tasks` equal tasks so that threads stay busy.
int64_t PartsPerTask(int64_t tasks, int64_t threads, int64_t limit);

}  // namespace tl::cpu
