// SPDX-License-Identifier: Apache-2.0
#include "objective/variational_bound.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace tl {

double PriorNats(absl::Span<const double> x, double noise_max) {
  double sum = 0.0;
  for (const double v : x) sum += v * v;
  return 0.5 * sum / (noise_max * noise_max * static_cast<double>(x.size()));
}

double DiffusionWeight(double noise_min, double noise_max, double noise) {
  return std::log(noise_max / noise_min) / (noise * noise);
}

double DecoderNats(absl::Span<const double> x, absl::Span<const double> mean, double noise) {
  TL_CHECK_EQ(x.size(), mean.size());
  double sum = 0.0;
  for (size_t i = 0; i < x.size(); ++i) sum += (x[i] - mean[i]) * (x[i] - mean[i]);
  return 0.5 * sum / (noise * noise * static_cast<double>(x.size())) +
         0.5 * std::log(2.0 * M_PI * noise * noise);
}

double DiscreteDecoderNats(absl::Span<const double> x, absl::Span<const double> mean, double noise,
                           int64_t values) {
  TL_CHECK_EQ(x.size(), mean.size());
  const double cell = 2.0 / static_cast<double>(values), rate = 0.5 / (noise * noise);
  const auto value = [&](int64_t k) { return -1.0 + (static_cast<double>(k) + 0.5) * cell; };
  double sum = 0.0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double place = std::clamp((mean[i] + 1.0) / cell, 0.0, static_cast<double>(values));
    const int64_t nearest = std::min(values - 1, static_cast<int64_t>(place));
    const double least = (value(nearest) - mean[i]) * (value(nearest) - mean[i]);
    // Relative to the likeliest value; both ways until nothing is added.
    double total = 1.0;
    for (const int64_t way : {-1, 1}) {
      for (int64_t k = nearest + way; k >= 0 && k < values; k += way) {
        const double term = std::exp(rate * (least - (value(k) - mean[i]) * (value(k) - mean[i])));
        if (term < 1e-18) break;
        total += term;
      }
    }
    sum += rate * ((x[i] - mean[i]) * (x[i] - mean[i]) - least) + std::log(total);
  }
  return sum / static_cast<double>(x.size());
}

}  // namespace tl
