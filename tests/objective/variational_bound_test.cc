// SPDX-License-Identifier: Apache-2.0
#include "objective/variational_bound.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "base/normals.h"
#include "objective/process.h"
#include "objective/training_times.h"

namespace tl {
namespace {

struct Terms {
  double prior, diffusion, decoder;
  double sum() const { return prior + diffusion + decoder; }
};

// The bound's mean over data N(0, s^2) with their best denoiser, over evenly spaced points.
Terms GaussianBound(const Process& process, double s) {
  constexpr int kCount = 1 << 14;
  const double least = process.noise_min(), most = process.noise_max();
  // The mean square of x_0 is s^2, of its error s^2 noise^2 / (s^2 + noise^2), of x_hat - x_0 the
  // noise's: all terms are linear in them.
  Terms terms = {.prior = PriorNats({s}, most),
                 .diffusion = 0.0,
                 .decoder = DecoderNats({least}, {0.0}, least)};
  for (int k = 0; k < kCount; ++k) {
    const double noise = TrainingNoise(process, TrainingTimes::kLikelihood, (k + 0.5) / kCount);
    const double error = s * s * noise * noise / (s * s + noise * noise);
    terms.diffusion += DiffusionWeight(least, most, noise) * error / kCount;
  }
  return terms;
}

TEST(VariationalBound, IsTheEntropyOfGaussians) {
  constexpr double kS = 0.5;
  for (const ProcessKind& kind : ProcessKinds()) {
    SCOPED_TRACE(kind.name);
    const Process process(kind, {});
    const Terms terms = GaussianBound(process, kS);
    const double least = process.noise_min(), ratio = kS / process.noise_max();
    const double entropy = 0.5 * std::log(2.0 * M_PI * M_E * (kS * kS + least * least));
    // By how much N(0, noise_max^2) is not the end's distribution.
    const double gap = 0.5 * (ratio * ratio - std::log1p(ratio * ratio));
    EXPECT_NEAR(terms.sum(), entropy + gap, 1e-7);
    EXPECT_NEAR(terms.sum(), entropy, kind.name == std::string("ve") ? 1e-4 : 1e-5);
    // Wrong rules: no decoder; twice the weight, which is g^2 / sigma^2 and not half of it.
    EXPECT_GT(std::fabs(terms.sum() - terms.decoder - entropy), 0.1);
    EXPECT_GT(std::fabs(terms.sum() + terms.diffusion - entropy), 0.1);
  }
}

TEST(VariationalBound, DiscreteDecoderIsADistribution) {
  std::vector<double> draws(60);
  FillNormals(StreamKey("test", 2), 0, 0, absl::MakeSpan(draws));
  for (const int64_t values : {2, 16, 256}) {
    for (const double noise : {1e-6, 0.002, 0.01, 0.3, 5.0}) {
      for (const double mean : draws) {
        double total = 0.0;
        for (int64_t k = 0; k < values; ++k) {
          const double x =
              -1.0 + (static_cast<double>(k) + 0.5) * 2.0 / static_cast<double>(values);
          const double nats = DiscreteDecoderNats({x}, {mean}, noise, values);
          ASSERT_TRUE(std::isfinite(nats));
          total += std::exp(-nats);
        }
        ASSERT_NEAR(total, 1.0, 1e-12) << values << " " << noise << " " << mean;
      }
    }
  }
}

// Where cells are narrow against the noise, it is the density times a cell.
TEST(VariationalBound, DiscreteDecoderIsTheDensityTimesACell) {
  const double x = -1.0 + 100.5 / 128.0;
  EXPECT_NEAR(DiscreteDecoderNats({x, x}, {x + 0.03, x - 0.01}, 0.02),
              DecoderNats({x, x}, {x + 0.03, x - 0.01}, 0.02) + std::log(128.0), 1e-9);
  // The likeliest value costs nothing at the least noise; its neighbour what its distance says.
  EXPECT_NEAR(DiscreteDecoderNats({x}, {x + 1e-3}, 1e-4), 0.0, 1e-12);
  const double cell = 1.0 / 128.0;
  EXPECT_NEAR(DiscreteDecoderNats({x + cell}, {x}, 1e-3), 0.5 * std::pow(cell / 1e-3, 2), 1e-9);
}

}  // namespace
}  // namespace tl
