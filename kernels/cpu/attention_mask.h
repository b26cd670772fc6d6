// SPDX-License-Identifier: Apache-2.0
// Masks of attention as ranges. Causal, window and segment masks, and any intersection of them, let
// every query see one contiguous range of keys whose ends never decrease from query to query; so
// every key is seen by one contiguous range of queries.
#pragma once

#include <cstdint>

#include "kernels/attention.h"

namespace tl::cpu {

// Query i of batch entry b sees keys [lo[i], hi[i]), none where lo[i] >= hi[i]. All within [0, tk].
void KeyRanges(const AttentionMask& mask, int64_t b, int64_t tq, int64_t tk, int32_t* lo,
               int32_t* hi);

// From KeyRanges' result: key j is seen by queries [q_lo[j], q_hi[j]).
void QueryRanges(const int32_t* lo, const int32_t* hi, int64_t tq, int64_t tk, int32_t* q_lo,
                 int32_t* q_hi);

// The part of a tile that some range touches: rows [begin, end) of the tile and the union
// [first, last) of their ranges. Empty (begin == end) where no range meets [first, last).
struct Touched {
  int64_t begin = 0, end = 0;
};
// Rows r of [0, rows) whose range meets [first, last).
Touched TouchedRows(const int32_t* lo, const int32_t* hi, int64_t rows, int64_t first,
                    int64_t last);

}  // namespace tl::cpu
