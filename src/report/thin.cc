// SPDX-License-Identifier: Apache-2.0
#include "report/thin.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>

namespace tl {
namespace {

// Calls use(begin, end) for the points of each bucket that has some. x does not decrease.
template <typename Use>
void ForEachBucket(absl::Span<const double> x, double low, double high, int buckets, Use use) {
  const double per = high > low ? buckets / (high - low) : 0.0;
  const auto bucket_of = [&](double at) {
    return static_cast<int>(std::clamp((at - low) * per, 0.0, buckets - 1.0));
  };
  for (size_t begin = 0; begin < x.size();) {
    const int bucket = bucket_of(x[begin]);
    size_t end = begin + 1;
    while (end < x.size() && bucket_of(x[end]) == bucket) ++end;
    use(begin, end);
    begin = end;
  }
}

}  // namespace

Thinned Thin(absl::Span<const double> x, absl::Span<const float> y, double low, double high,
             int buckets) {
  Thinned out;
  Stroke stroke;
  const auto end_stroke = [&] {
    if (!stroke.empty()) out.strokes.push_back(std::exchange(stroke, {}));
  };
  size_t last = x.size();  // the last point that is a number
  for (size_t i = x.size(); i > 0 && last == x.size(); --i)
    if (std::isfinite(y[i - 1])) last = i - 1;
  ForEachBucket(x, low, high, buckets, [&](size_t begin, size_t end) {
    size_t lowest = end, highest = end, first = end, null = end;
    for (size_t i = begin; i < end; ++i) {
      if (std::isinf(y[i])) null = i;
      if (!std::isfinite(y[i])) continue;
      if (first == end) first = lowest = highest = i;
      if (y[i] < y[lowest]) lowest = i;
      if (y[i] > y[highest]) highest = i;
    }
    if (null < end) out.missing.push_back(x[null]);
    if (first == end) {
      if (null < end) end_stroke();
      return;
    }
    size_t kept[] = {lowest, highest, stroke.empty() ? first : lowest, last < end ? last : highest};
    std::sort(std::begin(kept), std::end(kept));
    const size_t* const kept_end = std::unique(std::begin(kept), std::end(kept));
    for (const size_t* i = kept; i != kept_end; ++i) stroke.push_back({x[*i], y[*i]});
  });
  end_stroke();
  return out;
}

Stroke Means(absl::Span<const double> x, absl::Span<const float> y, double low, double high,
             int buckets) {
  Stroke means;
  ForEachBucket(x, low, high, buckets, [&](size_t begin, size_t end) {
    double sum_x = 0.0, sum_y = 0.0, count = 0.0;
    for (size_t i = begin; i < end; ++i) {
      if (!std::isfinite(y[i])) continue;
      sum_x += x[i];
      sum_y += y[i];
      count += 1.0;
    }
    if (count > 0.0) means.push_back({sum_x / count, sum_y / count});
  });
  return means;
}

}  // namespace tl
