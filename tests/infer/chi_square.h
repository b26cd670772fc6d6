// SPDX-License-Identifier: Apache-2.0
// Whether counts follow a distribution, as a standard normal deviate: above about 5 they do not.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

namespace tl {

// Pearson's statistic with cells of small expectation pooled, by Wilson and Hilferty's cube root.
inline double ChiSquareDeviate(const std::vector<int64_t>& counts,
                               const std::vector<double>& distribution) {
  int64_t draws = 0;
  for (const int64_t count : counts) draws += count;
  double statistic = 0.0, pooled = 0.0, pooled_count = 0.0;
  int cells = 0;
  const auto add = [&](double count, double expected) {
    if (expected <= 0.0) {
      if (count > 0.0) statistic += 1e9;  // what cannot happen
      return;
    }
    statistic += (count - expected) * (count - expected) / expected;
    ++cells;
  };
  for (size_t i = 0; i < distribution.size(); ++i) {
    const double expected = distribution[i] * static_cast<double>(draws);
    if (expected >= 8.0 || expected == 0.0) {
      add(static_cast<double>(counts[i]), expected);
    } else {
      pooled += expected;
      pooled_count += static_cast<double>(counts[i]);
    }
  }
  if (pooled > 0.0) add(pooled_count, pooled);
  const double df = cells - 1.0, spread = 2.0 / (9.0 * df);
  return (std::cbrt(statistic / df) - (1.0 - spread)) / std::sqrt(spread);
}

}  // namespace tl
