// SPDX-License-Identifier: Apache-2.0
#include "objective/preconditioning.h"

#include <cmath>

#include "base/check.h"

namespace tl {

Coefficients CoefficientsAt(const Process& process, Prediction prediction, double noise) {
  const double data = process.options().sigma_data, level = process.Level(noise);
  const double total = std::sqrt(data * data + noise * noise);
  const Marginal m = process.At(process.TimeOf(noise));
  const double in = process.kind().grows ? 1.0 / total : m.alpha;
  switch (prediction) {
    case Prediction::kNoise:
      return {.in = in, .skip = 1.0, .out = -noise, .level = level};
    case Prediction::kEdm:
      return {.in = 1.0 / total,
              .skip = data * data / (total * total),
              .out = noise * data / total,
              .level = level};
    case Prediction::kVelocity:
      break;
  }
  const double turn = m.d_sigma * m.alpha - m.sigma * m.d_alpha;
  return {.in = in, .skip = m.d_sigma * m.alpha / turn, .out = -m.sigma / turn, .level = level};
}

void LevelFeatures(double level, absl::Span<float> out) {
  TL_CHECK(out.size() % 2 == 0) << out.size() << " features";
  const size_t half = out.size() / 2;
  for (size_t k = 0; k < half; ++k) {
    const double angle = level * std::pow(1e4, -static_cast<double>(k) / static_cast<double>(half));
    out[k] = static_cast<float>(std::cos(angle));
    out[half + k] = static_cast<float>(std::sin(angle));
  }
}

}  // namespace tl
