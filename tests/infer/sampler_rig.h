// SPDX-License-Identifier: Apache-2.0
// Samplers on denoisers that are known exactly.
#pragma once

#include <gtest/gtest.h>

#include <numeric>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "infer/samplers.h"
#include "objective/process.h"

namespace tl {

inline Process MakeProcess(const std::string& name, const ProcessOptions& options = {}) {
  return {*FindProcessKind(name), options};
}

inline std::vector<int64_t> Numbers(int64_t first, int64_t count) {
  std::vector<int64_t> numbers(static_cast<size_t>(count));
  std::iota(numbers.begin(), numbers.end(), first);
  return numbers;
}

inline std::vector<double> Draw(const std::string& sampler, const Process& process,
                                const Denoiser& denoiser, const NoiseAt& noise,
                                const std::vector<int64_t>& samples, int64_t width,
                                const SamplerOptions& options = {}) {
  auto drawn = DrawSamples(*FindSamplerKind(sampler),
                           {.process = process,
                            .denoiser = denoiser,
                            .noise = noise,
                            .samples = samples,
                            .width = width},
                           options);
  EXPECT_TRUE(drawn.ok()) << sampler << ": " << drawn.status();
  return drawn.ok() ? *drawn : std::vector<double>(samples.size() * static_cast<size_t>(width));
}

// D of N(0, s^2).
inline Denoiser GaussianDenoiser(double s) {
  return [s](absl::Span<const double> x_hat, absl::Span<const double> noise,
             absl::Span<double> clean) {
    const size_t width = x_hat.size() / noise.size();
    for (size_t i = 0; i < clean.size(); ++i) {
      const double n = noise[i / width];
      clean[i] = s * s / (s * s + n * n) * x_hat[i];
    }
    return absl::OkStatus();
  };
}

// On Gaussian data samplers are affine in their draws, so that a sample's variance is the sum of
// the squares of what it makes of each draw alone: nothing is left to chance. Of the first `draws`
// draws.
inline double SampleVariance(const std::string& sampler, const Process& process, double s,
                             int64_t draws, const SamplerOptions& options) {
  const NoiseAt one_draw = [](int64_t sample, int64_t draw, absl::Span<double> z) {
    z[0] = sample == draw ? 1.0 : 0.0;
  };
  double variance = 0.0;
  for (const double x :
       Draw(sampler, process, GaussianDenoiser(s), one_draw, Numbers(0, draws), 1, options))
    variance += x * x;
  return variance;
}

}  // namespace tl
