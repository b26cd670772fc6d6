// SPDX-License-Identifier: Apache-2.0
#include "infer/sampling_path.h"

#include <cmath>

#include "base/check.h"

namespace tl {
namespace {

std::vector<double> KarrasNoises(const Process& process, double rho, int64_t steps) {
  const double most = std::pow(process.noise_max(), 1.0 / rho);
  const double least = std::pow(process.noise_sample(), 1.0 / rho);
  std::vector<double> noises = {process.noise_max()};
  for (int64_t i = 1; i < steps; ++i) {
    const double part = static_cast<double>(i) / static_cast<double>(steps - 1);
    noises.push_back(std::pow(most + part * (least - most), rho));
  }
  return noises;
}

std::vector<double> EvenTimes(const Process& process, int64_t steps) {
  const TimeRange& range = process.times();
  const int64_t intervals = range.sample > 0.0 ? steps - 1 : steps;
  std::vector<double> times = {range.high};
  for (int64_t i = 1; i < steps; ++i) {
    const double part = static_cast<double>(i) / static_cast<double>(intervals);
    times.push_back(range.high + part * (range.sample - range.high));
  }
  return times;
}

}  // namespace

SamplingPath::SamplingPath(const Process& process, PathVariable variable, Spacing spacing,
                           double rho, int64_t steps)
    : process_(process), variable_(variable) {
  TL_CHECK(spacing != Spacing::kOwn && steps > 0);
  if (spacing == Spacing::kKarras) {
    for (const double noise : KarrasNoises(process, rho, steps)) points_.push_back(AtNoise(noise));
    return;
  }
  for (const double t : EvenTimes(process, steps)) {
    const Marginal at = process.At(t);
    points_.push_back(variable == PathVariable::kOwn ? PathPoint{.t = t, .at = at}
                                                     : AtNoise(at.noise()));
  }
}

PathPoint SamplingPath::AtNoise(double noise) const {
  if (variable_ == PathVariable::kHat)
    return {.t = noise, .at = {.alpha = 1.0, .sigma = noise, .d_alpha = 0.0, .d_sigma = 1.0}};
  const double t = process_.TimeOf(noise);
  return {.t = t, .at = process_.At(t)};
}

}  // namespace tl
