// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/attention_mask.h"

#include <algorithm>

namespace tl::cpu {

void KeyRanges(const AttentionMask& mask, int64_t b, int64_t tq, int64_t tk, int32_t* lo,
               int32_t* hi) {
  const bool segments = static_cast<bool>(mask.q_segments);
  const int32_t* q_segments = segments ? mask.q_segments.as<int32_t>() + b * tq : nullptr;
  const int32_t* k_segments = segments ? mask.k_segments.as<int32_t>() + b * tk : nullptr;
  int64_t segment_begin = 0, segment_end = 0;
  for (int64_t i = 0; i < tq; ++i) {
    int64_t first = 0, last = tk;
    if (mask.kind != MaskKind::kNone)
      last = std::clamp<int64_t>(mask.q_start + i + 1 - mask.k_start, 0, tk);
    if (mask.kind == MaskKind::kWindow)
      first = std::clamp<int64_t>(mask.q_start + i + 1 - mask.window - mask.k_start, 0, tk);
    if (segments) {
      const int32_t segment = q_segments[i];
      TL_CHECK(i == 0 || q_segments[i - 1] <= segment) << "segments decrease at query " << i;
      while (segment_begin < tk && k_segments[segment_begin] < segment) ++segment_begin;
      segment_end = std::max(segment_end, segment_begin);
      while (segment_end < tk && k_segments[segment_end] == segment) ++segment_end;
      first = std::max(first, segment_begin);
      last = std::min(last, segment_end);
    }
    lo[i] = static_cast<int32_t>(first);
    hi[i] = static_cast<int32_t>(last);
  }
}

void QueryRanges(const int32_t* lo, const int32_t* hi, int64_t tq, int64_t tk, int32_t* q_lo,
                 int32_t* q_hi) {
  int64_t begin = 0, end = 0;
  for (int64_t j = 0; j < tk; ++j) {
    while (begin < tq && hi[begin] <= j) ++begin;
    while (end < tq && lo[end] <= j) ++end;
    q_lo[j] = static_cast<int32_t>(begin);
    q_hi[j] = static_cast<int32_t>(std::max(begin, end));
  }
}

Touched TouchedRows(const int32_t* lo, const int32_t* hi, int64_t rows, int64_t first,
                    int64_t last) {
  const auto meets = [&](int64_t r) {
    return std::max<int64_t>(lo[r], first) < std::min<int64_t>(hi[r], last);
  };
  Touched touched{0, rows};
  while (touched.begin < rows && !meets(touched.begin)) ++touched.begin;
  while (touched.end > touched.begin && !meets(touched.end - 1)) --touched.end;
  return touched;
}

}  // namespace tl::cpu
