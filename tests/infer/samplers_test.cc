// SPDX-License-Identifier: Apache-2.0
// Samplers against exact answers on Gaussian data.
#include "infer/samplers.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "tests/infer/sampler_rig.h"

namespace tl {
namespace {

constexpr double kS = 0.5;

// The standard deviation of samples over the data's, where only the first draw counts.
double Gain(const std::string& sampler, const Process& process, SamplerOptions options) {
  return std::sqrt(SampleVariance(sampler, process, kS, 1, options)) / kS;
}

// Values of doubling steps, and the observed orders of convergence between them.
void ExpectGains(const std::string& sampler, const Process& process, int64_t steps,
                 const std::vector<double>& expected, double low_order, double high_order) {
  SCOPED_TRACE(sampler);
  std::vector<double> found;
  for (size_t i = 0; i < expected.size(); ++i) {
    found.push_back(Gain(sampler, process, {.steps = steps << i}));
    EXPECT_NEAR(found[i], expected[i], 1e-4) << (steps << i) << " steps";
  }
  for (size_t i = 1; i < found.size(); ++i) {
    const double order = std::log2((found[i - 1] - 1.0) / (found[i] - 1.0));
    EXPECT_GE(order, low_order) << (steps << i) << " steps";
    EXPECT_LE(order, high_order) << (steps << i) << " steps";
  }
}

TEST(Samplers, GainsOnKarrasNoises) {
  const Process edm = MakeProcess("edm");
  ExpectGains("euler", edm, 18, {0.8461, 0.9220, 0.9607, 0.9803}, 0.95, 1.05);
  ExpectGains("heun", edm, 18, {1.0552, 1.0122, 1.0029, 1.0007}, 1.9, 2.2);
  ExpectGains("dpm++", edm, 18, {1.0623, 1.0131, 1.0029, 1.0007}, 1.9, 2.3);
}

TEST(Samplers, GainsOnStraightPaths) {
  const Process flow = MakeProcess("flow");
  ExpectGains("euler", flow, 20, {0.9285, 0.9636, 0.98166}, 0.95, 1.05);
  ExpectGains("heun", flow, 20, {0.9958, 0.9990, 0.99976}, 1.9, 2.2);
}

// Other processes walk other noises to the same end.
TEST(Samplers, EveryProcessConverges) {
  for (const ProcessKind& kind : ProcessKinds()) {
    const Process process(kind, {});
    for (const char* sampler : {"heun", "dpm++"}) {
      EXPECT_NEAR(Gain(sampler, process, {.steps = 400}), 1.0, 5e-3) << kind.name << " " << sampler;
      EXPECT_NEAR(Gain(sampler, process, {.steps = 2000, .spacing = Spacing::kKarras}), 1.0, 2e-3)
          << kind.name << " " << sampler;
    }
  }
}

// The flow's map is known: x_0 / x_T = sqrt of the variances; and then D.
TEST(Samplers, Rk45IsTheFlow) {
  for (const ProcessKind& kind : ProcessKinds()) {
    const Process process(kind, {});
    const double from = process.noise_max(), to = process.noise_sample(), s2 = kS * kS;
    const double gain =
        from / std::sqrt(s2 + from * from) * std::sqrt(s2 + to * to) / kS * (s2 / (s2 + to * to));
    EXPECT_NEAR(Gain("rk45", process, {}), gain, 2e-5) << kind.name;
    EXPECT_NEAR(Gain("rk45", process, {.tolerance = 1e-9}), gain, 2e-9) << kind.name;
  }
}

// Euler and Maruyama's variance by its own recursion, as Song et al. 2021 write the SDE.
double EulerMaruyamaVariance(const Process& process, int64_t steps, double level) {
  const double high = process.times().high, low = process.times().sample;
  const double dt = (high - low) / static_cast<double>(steps - 1);
  double variance = std::pow(process.At(high).sigma, 2);
  for (int64_t i = 0; i + 1 < steps; ++i) {
    const Marginal m = process.At(high - dt * static_cast<double>(i));
    const double g2 = DiffusionSquared(m);
    const double score = -1.0 / (m.alpha * m.alpha * kS * kS + m.sigma * m.sigma);
    const double keeps = 1.0 - dt * (Drift(m) - 0.5 * (1.0 + level * level) * g2 * score);
    variance = keeps * keeps * variance + level * level * g2 * dt;
  }
  const Marginal end = process.At(low);
  const double total = end.alpha * end.alpha * kS * kS + end.sigma * end.sigma;
  return variance * std::pow(end.alpha * kS * kS / total, 2);
}

TEST(Samplers, EulerMaruyamaHasItsVariance) {
  for (const char* name : {"vp", "subvp", "ve"}) {
    const Process process = MakeProcess(name);
    for (const double level : {0.0, 0.5, 1.0}) {
      const double found =
          SampleVariance("euler-maruyama", process, kS, 300, {.steps = 300, .noise = level});
      EXPECT_NEAR(found, EulerMaruyamaVariance(process, 300, level), 1e-10) << name << " " << level;
    }
  }
  const double sd =
      std::sqrt(SampleVariance("euler-maruyama", MakeProcess("vp"), kS, 1000, {.steps = 1000})) /
      kS;
  EXPECT_NEAR(sd, 1.0005, 1e-4);
}

// With the data's own spread the step is right for any number of steps; DDPM's two bounds are below
// and above.
TEST(Samplers, AncestralStepsAreExactForTheirSpread) {
  for (const ProcessKind& kind : ProcessKinds()) {
    const Process process(kind, {});
    const Marginal end = process.At(std::max(process.times().sample, process.times().low));
    for (const int64_t steps : {5, 20, 80}) {
      const auto variance = [&](double spread) {
        return SampleVariance("ancestral", process, kS, steps,
                              {.steps = steps, .data_spread = spread});
      };
      const double start = std::sqrt(variance(kS)) / kS;
      EXPECT_LT(variance(0.0), variance(kS)) << kind.name;
      EXPECT_GT(variance(1.0), variance(kS)) << kind.name;
      if (kind.interpolant) continue;  // their last noise depends on the steps
      EXPECT_NEAR(start, kS / std::hypot(kS, end.noise()), 2e-4) << kind.name << " " << steps;
    }
  }
  const auto sd = [](double spread) {
    return std::sqrt(SampleVariance("ancestral", MakeProcess("vp"), kS, 1000,
                                    {.steps = 1000, .data_spread = spread})) /
           kS;
  };
  EXPECT_NEAR(sd(1.0), 1.0015, 1e-4);
  EXPECT_NEAR(sd(0.0), 0.9922, 1e-4);
}

TEST(Samplers, ReverseDiffusionConverges) {
  for (const char* name : {"vp", "subvp", "ve"}) {
    const Process process = MakeProcess(name);
    const auto error = [&](int64_t steps) {
      return std::sqrt(SampleVariance("reverse-diffusion", process, kS, steps, {.steps = steps})) /
                 kS -
             1.0;
    };
    const double coarse = error(200), fine = error(400);
    EXPECT_NEAR(fine, 0.0, 0.02) << name;
    EXPECT_NEAR(coarse / fine, 2.0, 0.3) << name;
  }
  const double sd =
      std::sqrt(SampleVariance("reverse-diffusion", MakeProcess("vp"), kS, 1000, {.steps = 1000})) /
      kS;
  EXPECT_NEAR(sd, 1.0027, 1e-4);
}

// NCSNv2's 232 levels from 50 to 0.01, 5 steps of epsilon 6.2e-6 each: its known bias. With steps
// twice as long it is another.
TEST(Samplers, LangevinHasItsKnownBias) {
  const Process process = MakeProcess("ve");
  const auto variance = [&](double step) {
    return SampleVariance("langevin", process, kS, 1161, {.steps = 232, .langevin_step = step}) /
           (kS * kS);
  };
  EXPECT_NEAR(variance(0.062), 1.138, 1e-3);
  EXPECT_GT(std::fabs(variance(0.124) - 1.138), 0.02);
}

// What churn adds is taken away again: the spread stays, and every step has drawn.
TEST(Samplers, ChurnKeepsTheNoise) {
  for (const char* name : {"edm", "flow"}) {
    const Process process = MakeProcess(name);
    const SamplerOptions churn = {.steps = 144, .churn = 40.0};
    const double first = SampleVariance("heun", process, kS, 1, churn);
    const double all = SampleVariance("heun", process, kS, 145, churn);
    EXPECT_NEAR(std::sqrt(all) / kS, 1.0, 0.01) << name;
    EXPECT_LT(first, 0.5 * all) << name;
    // A wrong rule: more noise than the level says.
    SamplerOptions loud = churn;
    loud.churn_noise = 1.1;
    EXPECT_GT(SampleVariance("heun", process, kS, 145, loud), 1.03 * all) << name;
    // Outside its noises there is none.
    SamplerOptions outside = churn;
    outside.churn_min = 1e9;
    EXPECT_EQ(SampleVariance("heun", process, kS, 145, outside),
              SampleVariance("heun", process, kS, 1, {.steps = 144}));
  }
}

TEST(Samplers, GuidanceExtrapolates) {
  const auto constant = [](double value, int* calls) -> Denoiser {
    return [=](absl::Span<const double>, absl::Span<const double>, absl::Span<double> clean) {
      ++*calls;
      std::fill(clean.begin(), clean.end(), value);
      return absl::OkStatus();
    };
  };
  int conditional = 0, unconditional = 0;
  const auto guided = [&](double scale) {
    std::vector<double> x(2), clean(2);
    EXPECT_TRUE(Guided(constant(3.0, &conditional), constant(1.0, &unconditional), scale)(
                    x, {1.0}, absl::MakeSpan(clean))
                    .ok());
    return clean[1];
  };
  EXPECT_EQ(guided(1.0), 3.0);
  EXPECT_EQ(unconditional, 0);
  EXPECT_EQ(guided(1.5), 4.0);
  EXPECT_EQ(guided(0.0), 1.0);
  EXPECT_EQ(unconditional, 2);
}

TEST(Samplers, RefusesWhatCannotBe) {
  const auto refuse = [](const char* sampler, const SamplerOptions& options,
                         const std::string& part) {
    const auto status = ResolveSampling(*FindSamplerKind(sampler), options).status();
    EXPECT_NE(status.message().find(part), std::string::npos) << status;
  };
  refuse("heun", {.steps = -1}, "steps = -1: expected at least 1");
  refuse("langevin", {.steps = 1}, "steps = 1: expected at least 2 levels");
  refuse("euler", {.churn = -0.5}, "churn = -0.5: expected at least 0");
  refuse("rk45", {.tolerance = 0.0}, "tolerance = 0: expected 0 < x < 1");
  refuse("langevin", {.langevin_step = 2.5}, "langevin_step = 2.5: expected 0 < x < 2");
  EXPECT_EQ(FindSamplerKind("ddim"), nullptr);
  EXPECT_EQ(ResolveSampling(*FindSamplerKind("heun"), {})->steps, 18);
}

TEST(Samplers, SaysWhereTheNetworkFails) {
  const Denoiser broken = [](absl::Span<const double>, absl::Span<const double>,
                             absl::Span<double> clean) {
    std::fill(clean.begin(), clean.end(), 0.0);
    clean[5] = NAN;
    return absl::OkStatus();
  };
  for (const SamplerKind& kind : SamplerKinds()) {
    const Process process = MakeProcess("edm");
    const NoiseAt noise = SamplingNoise(1);
    const auto status = DrawSamples(kind,
                                    {.process = process,
                                     .denoiser = broken,
                                     .noise = noise,
                                     .samples = Numbers(40, 4),
                                     .width = 2},
                                    {})
                            .status();
    EXPECT_NE(status.message().find("sample 42: the network's estimate at noise 80 is nan"),
              std::string::npos)
        << kind.name << ": " << status;
  }
}

// The evaluations that the table promises are those that are made.
TEST(Samplers, TableCountsEvaluations) {
  for (const SamplerKind& kind : SamplerKinds()) {
    int64_t calls = 0;
    const Denoiser counting = [&](absl::Span<const double> x_hat, absl::Span<const double> noise,
                                  absl::Span<double> clean) {
      ++calls;
      return GaussianDenoiser(kS)(x_hat, noise, clean);
    };
    const SamplerOptions options = ResolveSampling(kind, {.steps = 7}).value();
    Draw(kind.name, MakeProcess("vp"), counting, SamplingNoise(1), Numbers(0, 2), 3, options);
    const int64_t promised = kind.evaluations(options);
    EXPECT_TRUE(promised == 0 || promised == calls) << kind.name << ": " << calls;
  }
}

}  // namespace
}  // namespace tl
