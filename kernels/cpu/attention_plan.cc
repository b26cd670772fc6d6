// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/attention_plan.h"

#include <cmath>

#include "kernels/cpu/onednn.h"

namespace tl::cpu {

AttentionShape ShapeOf(const Tensor& q, const Tensor& k, float scale, int64_t q_tile,
                       int64_t k_tile) {
  AttentionShape shape;
  shape.batch = q.shape[0];
  shape.tq = q.shape[1];
  shape.q_heads = q.shape[2];
  shape.d = q.shape[3];
  shape.tk = k.shape[1];
  shape.k_heads = k.shape[2];
  shape.group = shape.q_heads / shape.k_heads;
  shape.q_tile = std::min(q_tile, RoundUp(shape.tq, shape.tq > kRowGranule ? kRowGranule : 32));
  shape.k_tile = std::min(k_tile, RoundUp(std::max<int64_t>(shape.tk, 1), kRowGranule));
  shape.q_tiles = shape.tq == 0 ? 0 : RoundUp(shape.tq, shape.q_tile) / shape.q_tile;
  shape.k_tiles = shape.tk == 0 ? 0 : RoundUp(shape.tk, shape.k_tile) / shape.k_tile;
  shape.dtype = q.dtype;
  shape.tile_type = ProductType(q.dtype);
  shape.scale = scale != 0.0f ? scale : 1.0f / std::sqrt(static_cast<float>(shape.d));
  return shape;
}

MaskRanges::MaskRanges(Carver& carver, const AttentionShape& shape, bool segments,
                       bool with_queries)
    : entries(segments ? shape.batch : 1),
      q_padded(shape.q_tiles * shape.q_tile),
      k_padded(shape.k_tiles * shape.k_tile) {
  lo = carver.Take<int32_t>(entries * q_padded);
  hi = carver.Take<int32_t>(entries * q_padded);
  q_lo = with_queries ? carver.Take<int32_t>(entries * k_padded) : nullptr;
  q_hi = with_queries ? carver.Take<int32_t>(entries * k_padded) : nullptr;
}

void MaskRanges::Fill(const AttentionShape& shape, const AttentionMask& mask) {
  for (int64_t b = 0; b < entries; ++b) {
    int32_t* entry_lo = lo + b * q_padded;
    int32_t* entry_hi = hi + b * q_padded;
    KeyRanges(mask, b, shape.tq, shape.tk, entry_lo, entry_hi);
    std::fill(entry_lo + shape.tq, entry_lo + q_padded, 0);
    std::fill(entry_hi + shape.tq, entry_hi + q_padded, 0);
    if (q_lo == nullptr) continue;
    QueryRanges(entry_lo, entry_hi, shape.tq, shape.tk, q_lo + b * k_padded, q_hi + b * k_padded);
    std::fill(q_lo + b * k_padded + shape.tk, q_lo + (b + 1) * k_padded, 0);
    std::fill(q_hi + b * k_padded + shape.tk, q_hi + (b + 1) * k_padded, 0);
  }
}

int64_t PartsPerTask(int64_t tasks, int64_t threads, int64_t limit) {
  constexpr int64_t kTasksPerThread = 4;
  if (tasks % threads == 0 || tasks >= kTasksPerThread * threads) return 1;
  return std::clamp<int64_t>((kTasksPerThread * threads + tasks - 1) / tasks, 1,
                             std::max<int64_t>(limit, 1));
}

Touched SeenKeys(const MaskRanges& ranges, const AttentionShape& shape, int64_t b, int64_t k0) {
  if (shape.tq == 0) return {};
  const int64_t first = ranges.Lo(b)[0], last = ranges.Hi(b)[shape.tq - 1];
  const int64_t end = std::clamp<int64_t>(last - k0, 0, shape.k_tile);
  return {std::clamp<int64_t>(first - k0, 0, end), end};
}

}  // namespace tl::cpu
