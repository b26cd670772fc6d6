// SPDX-License-Identifier: Apache-2.0
// Samples in the plane beside those of a ring of eight Gaussians.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/infer/chi_square.h"
#include "tests/reference/mixture.h"

namespace tl {

inline constexpr int kModes = 8;
inline constexpr double kSd = 0.1;
inline constexpr size_t kRingSamples = 4000;

// Means of |a - b|, to 1e-6; those of a point with itself are left out.
inline double MeanDistance(const std::vector<double>& a, const std::vector<double>& b) {
  const bool same = &a == &b;
  std::vector<float> x(kRingSamples), y(kRingSamples);
  for (size_t j = 0; j < kRingSamples; ++j) {
    x[j] = static_cast<float>(b[2 * j]);
    y[j] = static_cast<float>(b[2 * j + 1]);
  }
  double sum = 0.0;
  for (size_t i = 0; i < kRingSamples; ++i) {
    const auto at_x = static_cast<float>(a[2 * i]), at_y = static_cast<float>(a[2 * i + 1]);
    float row = 0.0f;
#pragma omp simd reduction(+ : row)
    for (size_t j = same ? i + 1 : 0; j < kRingSamples; ++j)
      row += std::sqrt((at_x - x[j]) * (at_x - x[j]) + (at_y - y[j]) * (at_y - y[j]));
    sum += row;
  }
  const auto n = static_cast<double>(kRingSamples);
  return same ? sum / (0.5 * n * (n - 1.0)) : sum / (n * n);
}

struct Findings {
  double energy;                // the energy distance; of two sets of samples -0.0005 .. 0.001
  std::vector<int64_t> counts;  // of samples at the modes
  double occupancy;             // the same as a standard normal deviate
  double radial, tangential, crossed;  // covariance within the modes, over kSd^2
};

class Ring {
 public:
  Ring() : ring_(reference::Mixture::Ring(kModes, kSd)) {
    truth_ = Truth(1);
    within_ = MeanDistance(truth_, truth_);
  }
  const reference::Mixture& mixture() const { return ring_; }
  std::vector<double> Truth(uint64_t seed) const {
    std::vector<double> points;
    for (size_t i = 0; i < kRingSamples; ++i) {
      const std::vector<double> x = ring_.Sample(seed, static_cast<int64_t>(i));
      points.insert(points.end(), x.begin(), x.end());
    }
    return points;
  }

  Findings Look(const std::vector<double>& x) const {
    Findings f{.energy = 2.0 * MeanDistance(x, truth_) - within_ - MeanDistance(x, x),
               .counts = std::vector<int64_t>(kModes),
               .occupancy = 0.0,
               .radial = 0.0,
               .tangential = 0.0,
               .crossed = 0.0};
    for (size_t i = 0; i < kRingSamples; ++i) {
      const double turn = 2.0 * M_PI / kModes;
      const double mode = std::round(std::atan2(x[2 * i + 1], x[2 * i]) / turn);
      ++f.counts[static_cast<size_t>(mode + kModes) % kModes];
      const double c = std::cos(mode * turn), s = std::sin(mode * turn);
      const double along = x[2 * i] * c + x[2 * i + 1] * s - 1.0;
      const double across = x[2 * i + 1] * c - x[2 * i] * s;
      const double share = 1.0 / (kSd * kSd * static_cast<double>(kRingSamples));
      f.radial += along * along * share;
      f.tangential += across * across * share;
      f.crossed += along * across * share;
    }
    f.occupancy = ChiSquareDeviate(f.counts, std::vector<double>(kModes, 1.0 / kModes));
    return f;
  }

 private:
  reference::Mixture ring_;
  std::vector<double> truth_;
  double within_;
};

inline const Ring& TheRing() {
  static const auto* const ring = new Ring;
  return *ring;
}

inline std::string Text(const Findings& f) {
  return absl::StrCat("energy distance ", f.energy, ", occupancy ", f.occupancy, ", radial ",
                      f.radial, ", tangential ", f.tangential, ", crossed ", f.crossed);
}

}  // namespace tl
