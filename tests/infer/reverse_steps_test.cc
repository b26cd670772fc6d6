// SPDX-License-Identifier: Apache-2.0
#include "infer/reverse_steps.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/normals.h"
#include "objective/process.h"

namespace tl {
namespace {

// score_sde's discrete processes: their predictors' x, given score and draw.
TEST(ReverseSteps, AreScoreSdes) {
  std::vector<double> draws(3 * 1000);
  FillNormals(StreamKey("test", 4), 0, 0, absl::MakeSpan(draws));
  const auto step = [](const AffineStep& s, const Marginal& at, double x, double score, double z) {
    const double clean = (x + at.sigma * at.sigma * score) / at.alpha;
    return s.x * x + s.clean * clean + s.noise * z;
  };
  double kept = 1.0;
  bool without_scale = true;
  for (int i = 0; i < 1000; ++i) {
    const double beta = (0.1 + 19.9 * i / 999.0) / 1000.0;
    const Marginal to = {.alpha = std::sqrt(kept), .sigma = std::sqrt(1.0 - kept)};
    kept *= 1.0 - beta;
    const Marginal from = {.alpha = std::sqrt(kept), .sigma = std::sqrt(1.0 - kept)};
    const auto at = static_cast<size_t>(i);
    const double x = draws[3 * at], score = draws[3 * at + 1], z = draws[3 * at + 2];
    const double mean = (2.0 - std::sqrt(1.0 - beta)) * x + beta * score;
    ASSERT_NEAR(step(ReverseDiffusionStep(from, to), from, x, score, z), mean + std::sqrt(beta) * z,
                1e-13)
        << i;
    ASSERT_NEAR(step(AncestralStep(from, to, 1.0), from, x, score, z),
                (x + beta * score) / std::sqrt(1.0 - beta) + std::sqrt(beta) * z, 1e-13)
        << i;
    // A wrong rule: G^2 without a^2.
    const double g2 = from.sigma * from.sigma - to.sigma * to.sigma;
    without_scale &= std::fabs(g2 - beta) < 1e-13;
  }
  EXPECT_FALSE(without_scale);
  for (int i = 1; i < 1000; ++i) {
    const auto sigma = [](int k) { return 0.01 * std::pow(5000.0, k / 999.0); };
    const Marginal from = {.sigma = sigma(i)}, to = {.sigma = sigma(i - 1)};
    const auto at = static_cast<size_t>(i);
    const double x = draws[3 * at], z = draws[3 * at + 2];
    const double score = draws[3 * at + 1] / sigma(i);
    const double g2 = sigma(i) * sigma(i) - sigma(i - 1) * sigma(i - 1);
    const double mean = x + g2 * score, scale = 1e-13 * (1.0 + from.sigma);
    ASSERT_NEAR(step(ReverseDiffusionStep(from, to), from, x, score, z), mean + std::sqrt(g2) * z,
                scale)
        << i;
    ASSERT_NEAR(step(AncestralStep(from, to, 0.0), from, x, score, z),
                mean + std::sqrt(g2) * sigma(i - 1) / sigma(i) * z, scale)
        << i;
  }
}

// The slope is f x - g^2 s / 2, and Euler and Maruyama's step without noise is along it.
TEST(ReverseSteps, SlopeIsTheFlows) {
  for (const ProcessKind& kind : ProcessKinds()) {
    const Process process(kind, {});
    for (const double part : {0.1, 0.5, 0.9}) {
      const double t = process.times().low + part * (process.times().high - process.times().low);
      const Marginal m = process.At(t);
      const double x = 0.7, clean = -0.2, s = (m.alpha * clean - x) / (m.sigma * m.sigma);
      const AffineStep slope = FlowSlope(m), step = EulerMaruyamaStep(m, 0.01, 3.0, 0.0);
      const double expected = Drift(m) * x - 0.5 * DiffusionSquared(m) * s;
      EXPECT_NEAR(slope.x * x + slope.clean * clean, expected, 1e-9 * (1.0 + std::fabs(expected)))
          << kind.name;
      EXPECT_NEAR(step.x * x + step.clean * clean, x - 0.01 * expected,
                  1e-9 * (1.0 + std::fabs(expected)));
      EXPECT_EQ(step.noise, 0.0);
      // SiT's diffusion stays where g^2 goes to infinity; that of the others is g^2.
      EXPECT_GE(SamplingDiffusion(process, m), 0.0);
      if (!kind.interpolant) {
        EXPECT_EQ(SamplingDiffusion(process, m), DiffusionSquared(m));
      }
    }
    if (kind.interpolant) {
      EXPECT_LT(SamplingDiffusion(process, process.At(process.times().high)), 4.0);
      EXPECT_GT(DiffusionSquared(process.At(process.times().high)), 1e4);
    }
  }
}

}  // namespace
}  // namespace tl
