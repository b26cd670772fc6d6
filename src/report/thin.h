// SPDX-License-Identifier: Apache-2.0
// A curve of any number of points, as few as a screen can show, without losing a spike.
#pragma once

#include <vector>

#include "absl/types/span.h"

namespace tl {

struct Point {
  double x = 0.0;
  double y = 0.0;
  bool operator==(const Point&) const = default;
};

// A part of a curve without gap.
using Stroke = std::vector<Point>;

struct Thinned {
  std::vector<Stroke> strokes;
  std::vector<double> missing;  // x of kNull, one per bucket; kAbsent points are not there
};

// Cuts [low, high] into equal buckets and keeps the lowest and the highest point of each, in their
// order; the first and the last point of all stay too. x does not decrease. A bucket of nothing but
// kNull ends a stroke.
Thinned Thin(absl::Span<const double> x, absl::Span<const float> y, double low, double high,
             int buckets);

// The mean of each bucket at the mean of its x; empty ones are left out.
Stroke Means(absl::Span<const double> x, absl::Span<const float> y, double low, double high,
             int buckets);

}  // namespace tl
