// SPDX-License-Identifier: Apache-2.0
// A sample is the same in every batch, to the bit.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "infer/reverse_steps.h"
#include "tests/infer/sampler_rig.h"
#include "tests/reference/mixture.h"

namespace tl {
namespace {

constexpr int64_t kCount = 16;

// Samples 0 to 15 in batches of so many.
std::vector<double> InBatches(const std::string& sampler, const Process& process,
                              const Denoiser& denoiser, int64_t batch) {
  std::vector<double> all;
  for (int64_t first = 0; first < kCount; first += batch) {
    const std::vector<double> some =
        Draw(sampler, process, denoiser, SamplingNoise(3),
             Numbers(first, std::min(batch, kCount - first)), 2, {.steps = 9});
    all.insert(all.end(), some.begin(), some.end());
  }
  return all;
}

TEST(SamplerBatch, NeverEnters) {
  const reference::Mixture ring = reference::Mixture::Ring(8, 0.1);
  for (const char* name : {"edm", "vp", "flow"}) {
    const Process process = MakeProcess(name);
    for (const SamplerKind& kind : SamplerKinds()) {
      const std::vector<double> whole = InBatches(kind.name, process, ring.Denoiser(), kCount);
      for (const int64_t batch : {1, 7})
        EXPECT_EQ(InBatches(kind.name, process, ring.Denoiser(), batch), whole)
            << kind.name << " " << name << " " << batch;
      for (size_t i = 2; i < whole.size(); ++i) ASSERT_NE(whole[i], whole[i - 2]);
    }
  }
}

// The test above would notice: a denoiser that looks at its neighbours is found out.
TEST(SamplerBatch, WouldBeSeen) {
  const Denoiser mixing = [](absl::Span<const double> x_hat, absl::Span<const double> noise,
                             absl::Span<double> clean) {
    double norm = 0.0;
    for (const double x : x_hat) norm += x * x / static_cast<double>(x_hat.size());
    for (size_t i = 0; i < clean.size(); ++i)
      clean[i] = x_hat[i] * 0.25 / (0.25 + noise[i / 2] * noise[i / 2]) * (1.0 + 1e-6 * norm);
    return absl::OkStatus();
  };
  const Process process = MakeProcess("edm");
  EXPECT_NE(InBatches("heun", process, mixing, 7), InBatches("heun", process, mixing, kCount));
}

enum class Norms : uint8_t { kOwn, kMeanOfBatch };

// Song et al. 2021, Algorithms 2 and 3, with the norms of each sample or, as in score_sde, their
// means over the batch.
std::vector<double> PredictorCorrectorTwin(const Process& process, const Denoiser& denoiser,
                                           int64_t steps, Norms norms) {
  const NoiseAt noise = SamplingNoise(3);
  std::vector<double> x(2 * kCount), clean(x.size()), z(x.size()), score(x.size());
  int64_t draw = 0;
  const auto fill = [&] {
    for (int64_t r = 0; r < kCount; ++r) noise(r, draw, absl::MakeSpan(&z[2 * r], 2));
    ++draw;
  };
  const auto evaluate = [&](const Marginal& m) {
    std::vector<double> x_hat = x;
    for (double& value : x_hat) value /= m.alpha;
    EXPECT_TRUE(
        denoiser(x_hat, std::vector<double>(kCount, m.noise()), absl::MakeSpan(clean)).ok());
    for (size_t i = 0; i < x.size(); ++i)
      score[i] = (m.alpha * clean[i] - x[i]) / (m.sigma * m.sigma);
  };
  fill();
  for (size_t i = 0; i < x.size(); ++i) x[i] = process.At(1.0).sigma * z[i];
  Marginal to = process.At(1.0);
  for (int64_t step = 0; step + 1 < steps; ++step) {
    const double part = static_cast<double>(step + 1) / static_cast<double>(steps - 1);
    const Marginal from = to;
    to = process.At(1.0 + part * (process.times().sample - 1.0));
    const double a = from.alpha / to.alpha;
    evaluate(from);
    fill();
    std::vector<double> s_norm(kCount);
    double z_mean = 0.0, s_mean = 0.0;
    for (size_t r = 0; r < kCount; ++r) {
      z_mean += std::hypot(z[2 * r], z[2 * r + 1]) / kCount;
      s_mean += (s_norm[r] = std::hypot(score[2 * r], score[2 * r + 1])) / kCount;
    }
    for (size_t i = 0; i < x.size(); ++i) {
      const double own =
          2.0 / std::max(s_norm[i / 2] * s_norm[i / 2], 0.5 / (from.sigma * from.sigma));
      const double ratio = norms == Norms::kOwn ? own : std::pow(z_mean / s_mean, 2);
      const double size = 2.0 * a * a * 0.16 * 0.16 * ratio;
      x[i] += size * score[i] + std::sqrt(2.0 * size) * z[i];
    }
    evaluate(from);
    fill();
    const double g2 = from.sigma * from.sigma - a * a * to.sigma * to.sigma;
    for (size_t i = 0; i < x.size(); ++i)
      x[i] = (2.0 - a) * x[i] + g2 * score[i] + std::sqrt(g2) * z[i];
  }
  evaluate(to);
  return clean;
}

TEST(SamplerBatch, PredictorCorrectorIsItsTwin) {
  const reference::Mixture ring = reference::Mixture::Ring(8, 0.1);
  for (const char* name : {"vp", "subvp", "ve"}) {
    const Process process = MakeProcess(name);
    const std::vector<double> found = InBatches("predictor-corrector", process, ring.Denoiser(), 7);
    const auto distance = [&](Norms norms) {
      const auto twin = PredictorCorrectorTwin(process, ring.Denoiser(), 9, norms);
      double most = 0.0;
      for (size_t i = 0; i < found.size(); ++i)
        most = std::max(most, std::fabs(found[i] - twin[i]));
      return most;
    };
    EXPECT_LE(distance(Norms::kOwn), 1e-9) << name;
    EXPECT_GT(distance(Norms::kMeanOfBatch), 1e-3) << name;  // the wrong rule
  }
}

}  // namespace
}  // namespace tl
