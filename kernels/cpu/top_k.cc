// SPDX-License-Identifier: Apache-2.0
#include "kernels/top_k.h"

#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/top_k.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h.
#include "kernels/cpu/common.h"
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tl::cpu::HWY_NAMESPACE {

void TopKRow(const float* x, int64_t columns, int64_t k, float* values, int32_t* ids) {
  const hn::ScalableTag<float> d;
  const auto width = static_cast<int64_t>(hn::Lanes(d));
  int64_t found = 0;
  // Columns come in ascending order: an element goes behind its equals.
  const auto offer = [&](int64_t column) {
    if (found == k && !ComesFirst(x[column], values[k - 1])) return;
    int64_t at = found < k ? found++ : k - 1;
    for (; at > 0 && ComesFirst(x[column], values[at - 1]); --at) {
      values[at] = values[at - 1];
      ids[at] = ids[at - 1];
    }
    values[at] = x[column];
    ids[at] = static_cast<int32_t>(column);
  };
  int64_t i = 0;
  for (; i < columns && found < k; ++i) offer(i);
  // Most vectors hold nothing above the least of those found; NaN fails the comparison.
  for (; i + 4 * width <= columns; i += 4 * width) {
    const auto least = hn::Set(d, values[k - 1]);
    const auto below = [&](int64_t at) TL_SIMD_BODY { return hn::Le(hn::LoadU(d, x + at), least); };
    const auto all = hn::And(hn::And(below(i), below(i + width)),
                             hn::And(below(i + 2 * width), below(i + 3 * width)));
    if (hn::AllTrue(d, all)) continue;
    for (int64_t j = i; j < i + 4 * width; ++j) offer(j);
  }
  for (; i < columns; ++i) offer(i);
  for (; found < k; ++found) {
    values[found] = -std::numeric_limits<float>::infinity();
    ids[found] = -1;
  }
}

}  // namespace tl::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tl::cpu {

HWY_EXPORT(TopKRow);

void TopK(Stream&, const TopKArgs& args) {
  const int64_t rows = args.x.shape[0], columns = args.x.shape[1], k = args.values.shape[1];
  ParallelRanges(rows, ThreadsFor(rows * columns * static_cast<int64_t>(sizeof(float))), 1,
                 [&](int, int64_t begin, int64_t end) {
                   for (int64_t n = begin; n < end; ++n) HWY_DYNAMIC_DISPATCH(TopKRow)
                   (args.x.as<float>() + n * args.x.strides[0], columns, k,
                    args.values.as<float>() + n * k, args.ids.as<int32_t>() + n * k);
                 });
}

}  // namespace tl::cpu
#endif
