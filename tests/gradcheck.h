// SPDX-License-Identifier: Apache-2.0
// Finite differences for the fp64 twins.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace tl {

inline double Dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0.0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

// The largest |numeric - analytic| over all elements of x, relative to max(1, max |analytic|);
// analytic is the claimed gradient of f(const std::vector<double>&) -> double at x. Central
// differences of fourth order: (8 (f(x+h) - f(x-h)) - (f(x+2h) - f(x-2h))) / 12h.
template <class F>
double GradientError(const F& f, std::vector<double> x, const std::vector<double>& analytic) {
  if (x.size() != analytic.size()) return HUGE_VAL;
  double largest = 1.0, error = 0.0;
  for (const double g : analytic) largest = std::max(largest, std::fabs(g));
  for (size_t i = 0; i < x.size(); ++i) {
    const double at = x[i], h = 1e-3 * std::max(1.0, std::fabs(at));
    const auto shifted = [&](double by) {
      x[i] = at + by;
      return f(x);
    };
    const double near = shifted(h) - shifted(-h);
    const double far = shifted(2 * h) - shifted(-2 * h);
    x[i] = at;
    const double difference = std::fabs((8 * near - far) / (12 * h) - analytic[i]);
    if (!(difference <= error)) error = difference;  // keeps a NaN
  }
  return error / largest;
}

}  // namespace tl
