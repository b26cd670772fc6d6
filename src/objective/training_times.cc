// SPDX-License-Identifier: Apache-2.0
#include "objective/training_times.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/normals.h"

namespace tl {
namespace {

// At `part` of the way from the lowest noise to the highest, in ln noise.
double GeometricNoise(const Process& process, double part) {
  return process.noise_min() * std::pow(process.noise_max() / process.noise_min(), part);
}

}  // namespace

double KroneckerPoint(uint64_t offset, int64_t sample) {
  const uint64_t point = offset + static_cast<uint64_t>(sample) * 0x9E3779B97F4A7C15u;
  return (static_cast<double>(point >> 12) + 0.5) * 0x1p-52;
}

double LadderNoise(const Process& process, int64_t levels, int64_t i) {
  TL_CHECK(levels > 1 && i >= 0 && i < levels) << "level " << i << " of " << levels;
  return GeometricNoise(process,
                        static_cast<double>(levels - 1 - i) / static_cast<double>(levels - 1));
}

double TrainingNoise(const Process& process, TrainingTimes times, double point) {
  const ProcessOptions& o = process.options();
  double noise = 0.0;
  switch (times) {
    case TrainingTimes::kUniform: {
      const TimeRange& t = process.times();
      noise = process.At(t.low + point * (t.high - t.low)).noise();
      break;
    }
    case TrainingTimes::kLognormal:
      noise = std::exp(o.p_mean + o.p_std * NormalQuantile(point));
      break;
    case TrainingTimes::kLikelihood:
      noise = GeometricNoise(process, point);
      break;
    case TrainingTimes::kLadder:
      noise = LadderNoise(
          process, o.levels,
          std::min(o.levels - 1, static_cast<int64_t>(point * static_cast<double>(o.levels))));
      break;
  }
  return std::clamp(noise, process.noise_min(), process.noise_max());
}

}  // namespace tl
