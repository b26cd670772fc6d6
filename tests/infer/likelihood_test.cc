// SPDX-License-Identifier: Apache-2.0
// Log-densities by the ODE against those of mixtures, which are known.
#include "infer/likelihood.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/normals.h"
#include "tests/infer/sampler_rig.h"
#include "tests/reference/mixture.h"

namespace tl {
namespace {

using reference::Mixture;

std::vector<Likelihood> Evaluate(const Process& process, const DenoiserProduct& denoiser,
                                 const std::vector<int64_t>& samples, const std::vector<double>& x,
                                 const LikelihoodOptions& options) {
  const auto width = static_cast<int64_t>(x.size() / samples.size());
  const auto found = LogDensities(process, denoiser, samples, x, width, options);
  EXPECT_TRUE(found.ok()) << found.status();
  return found.ok() ? *found : std::vector<Likelihood>(samples.size());
}

std::vector<double> Points(const Mixture& mixture, int64_t count) {
  std::vector<double> points;
  for (int64_t i = 0; i < count; ++i) {
    const std::vector<double> x = mixture.Sample(11, i);
    points.insert(points.end(), x.begin(), x.end());
  }
  return points;
}

// Uneven, of different widths; its mean is 0, as the prior's.
Mixture Uneven() {
  return Mixture({{.weight = 0.5, .mean = {0.3, -0.4}, .sd = 0.5},
                  {.weight = 0.3, .mean = {-1.0, 0.0}, .sd = 0.2},
                  {.weight = 0.2, .mean = {0.75, 1.0}, .sd = 0.35}});
}

TEST(Likelihood, MixtureProductIsItsJacobian) {
  const Mixture mixture = Uneven();
  const std::vector<double> x = {0.1, 0.3}, noise = {0.4};
  std::vector<double> clean(2), product(2), ahead(2), behind(2), at(2);
  for (size_t j = 0; j < 2; ++j) {
    std::vector<double> probe(2);
    probe[j] = 1.0;
    ASSERT_TRUE(
        mixture.DenoiserProduct()(x, noise, probe, absl::MakeSpan(clean), absl::MakeSpan(product))
            .ok());
    for (size_t i = 0; i < 2; ++i) {
      at = x;
      at[i] += 1e-5;
      ASSERT_TRUE(mixture.Denoiser()(at, noise, absl::MakeSpan(ahead)).ok());
      at[i] -= 2e-5;
      ASSERT_TRUE(mixture.Denoiser()(at, noise, absl::MakeSpan(behind)).ok());
      EXPECT_NEAR(product[i], (ahead[j] - behind[j]) / 2e-5, 1e-8);
    }
  }
}

TEST(Likelihood, IsTheDensity) {
  const Mixture gaussian = Mixture::Gaussian({0.0, 0.0, 0.0}, 0.5), uneven = Uneven(),
                ring = Mixture::Ring(8, 0.1);
  // The prior N(0, noise_max^2) is not the end's distribution: it lacks the data's variance, which
  // more noise than usual makes small.
  ProcessOptions options;
  options.sigma_max = 500.0;
  options.beta_max = 30.0;
  for (const ProcessKind& kind : ProcessKinds()) {
    const Process process(kind, options);
    for (const Mixture* mixture : {&gaussian, &uneven, &ring}) {
      const std::vector<double> x = Points(*mixture, 12);
      const std::vector<Likelihood> found = Evaluate(
          process, mixture->DenoiserProduct(), Numbers(0, 12), x, {.probes = 0, .tolerance = 1e-7});
      for (size_t r = 0; r < found.size(); ++r) {
        const auto point = absl::MakeConstSpan(x).subspan(r * mixture->width(), mixture->width());
        EXPECT_NEAR(found[r].nats, mixture->LogDensity(point, process.noise_min()), 1e-4)
            << kind.name << " " << r;
      }
    }
  }
}

// Of a user's tolerance and noises comes more.
TEST(Likelihood, DefaultsAreWithin1e3) {
  const Mixture ring = Mixture::Ring(8, 0.1);
  const Process process = MakeProcess("edm");
  const std::vector<double> x = Points(ring, 20);
  const std::vector<Likelihood> found =
      Evaluate(process, ring.DenoiserProduct(), Numbers(0, 20), x, {.probes = 0});
  for (size_t r = 0; r < found.size(); ++r) {
    EXPECT_NEAR(found[r].nats, ring.LogDensity({&x[2 * r], 2}, process.noise_min()), 1e-3);
    EXPECT_LT(found[r].evaluations, 400);
  }
}

// A round Gaussian's Jacobian is diagonal: one random probe is as good as all.
TEST(Likelihood, OneProbeIsExactOnDiagonalJacobians) {
  const Mixture gaussian = Mixture::Gaussian(std::vector<double>(100), 0.5);
  const std::vector<double> x = Points(gaussian, 5);
  const Process process = MakeProcess("edm");
  const std::vector<Likelihood> found =
      Evaluate(process, gaussian.DenoiserProduct(), Numbers(0, 5), x, {.tolerance = 1e-7});
  for (size_t r = 0; r < found.size(); ++r)
    EXPECT_NEAR(found[r].nats, gaussian.LogDensity({&x[100 * r], 100}, process.noise_min()), 1e-3);
}

// Over seeds the mean of one probe's answers is the answer.
TEST(Likelihood, ProbesAreUnbiased) {
  const Mixture mixture = Uneven();
  const Process process = MakeProcess("edm");
  const std::vector<double> x = {0.1, 0.3};
  constexpr int kSeeds = 400;
  double sum = 0.0, squares = 0.0;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    const double nats =
        Evaluate(process, mixture.DenoiserProduct(), {7}, x, {.seed = seed})[0].nats;
    sum += nats / kSeeds;
    squares += nats * nats / kSeeds;
  }
  const double error = std::sqrt((squares - sum * sum) / kSeeds);
  EXPECT_GT(error, 1e-4);  // they do differ
  EXPECT_NEAR(sum, mixture.LogDensity(x, process.noise_min()), 4.0 * error);
}

// Notes the probes that it is asked with, by sample; `fresh` answers with others.
struct Spy {
  const Mixture& mixture;
  bool fresh = false;
  uint64_t calls = 0;
  std::set<std::vector<double>> seen = {};

  DenoiserProduct Make() {
    return [this](absl::Span<const double> x_hat, absl::Span<const double> noise,
                  absl::Span<const double> probe, absl::Span<double> clean,
                  absl::Span<double> product) {
      seen.emplace(probe.begin(), probe.end());
      std::vector<double> used(probe.begin(), probe.end());
      if (fresh) FillSigns(StreamKey("fresh", ++calls), 0, absl::MakeSpan(used));
      TL_CHECK_OK(mixture.DenoiserProduct()(x_hat, noise, used, clean, product));
      // What v . J^T v is to be with the probes used.
      for (size_t i = 0; i < product.size(); ++i) product[i] *= used[i] * probe[i];
      return absl::OkStatus();
    };
  }
};

TEST(Likelihood, ProbesStayAsTheyAre) {
  const Mixture mixture = Uneven();
  const Process process = MakeProcess("edm");
  const std::vector<double> x = Points(mixture, 16);
  const auto evaluations = [](const std::vector<Likelihood>& found) {
    int64_t sum = 0;
    for (const Likelihood& l : found) sum += l.evaluations;
    return sum;
  };
  Spy fixed{.mixture = mixture};
  const auto found = Evaluate(process, fixed.Make(), Numbers(0, 16), x, {});
  EXPECT_EQ(fixed.seen.size(), 1u);
  // The wrong rule, a new probe at each evaluation, gives the integrator noise: it fails, or takes
  // many times the steps and comes to something else.
  Spy fresh{.mixture = mixture, .fresh = true};
  const auto noisy = LogDensities(process, fresh.Make(), Numbers(0, 16), x, 2, {});
  if (noisy.ok()) {
    EXPECT_GT(evaluations(*noisy), 10 * evaluations(found));
  } else {
    EXPECT_NE(noisy.status().message().find("error stays above"), std::string::npos)
        << noisy.status();
  }
}

// By numbers of samples, whatever stands beside them.
TEST(Likelihood, IsTheSameInEveryBatch) {
  const Mixture mixture = Uneven();
  const Process process = MakeProcess("vp");
  const std::vector<double> x = Points(mixture, 8);
  const auto whole = Evaluate(process, mixture.DenoiserProduct(), Numbers(20, 8), x, {.probes = 2});
  for (size_t r = 0; r < whole.size(); ++r) {
    const auto alone = Evaluate(process, mixture.DenoiserProduct(), {20 + static_cast<int64_t>(r)},
                                {x[2 * r], x[2 * r + 1]}, {.probes = 2});
    EXPECT_EQ(alone[0].nats, whole[r].nats);
    EXPECT_EQ(alone[0].evaluations, whole[r].evaluations);
  }
}

TEST(Likelihood, RefusesWhatCannotBe) {
  const Mixture wide = Mixture::Gaussian(std::vector<double>(65), 0.5);
  const Process process = MakeProcess("edm");
  const std::vector<double> x(65);
  const auto exact =
      LogDensities(process, wide.DenoiserProduct(), {0}, x, 65, {.probes = 0}).status();
  EXPECT_NE(exact.message().find("exact probes for samples of 65 numbers: expected at most 64"),
            std::string::npos)
      << exact;
  const DenoiserProduct broken = [](absl::Span<const double>, absl::Span<const double>,
                                    absl::Span<const double>, absl::Span<double> clean,
                                    absl::Span<double> product) {
    std::fill(clean.begin(), clean.end(), 0.0);
    std::fill(product.begin(), product.end(), INFINITY);
    return absl::OkStatus();
  };
  const auto status = LogDensities(process, broken, {33}, x, 65, {}).status();
  EXPECT_NE(status.message().find("sample 33: the network's estimate at noise 0.002"),
            std::string::npos)
      << status;
}

// Data of four values, one of them likely, and a model that knows them nearly for sure. Spread over
// their cells they need their entropy and a little more. Put on their centres, as is wrong, they
// need less than nothing: a density is no probability.
TEST(Likelihood, DequantisedBitsAreABound) {
  constexpr int64_t kValues = 256;
  const std::vector<double> shares = {0.7, 0.1, 0.1, 0.1};
  const std::vector<int64_t> values = {40, 90, 150, 220};
  const double cell = 2.0 / kValues;
  std::vector<reference::Component> components;
  double entropy = 0.0;
  for (size_t k = 0; k < values.size(); ++k) {
    components.push_back(
        {.weight = shares[k], .mean = {InCell(values[k], 0.5)}, .sd = 0.35 * cell});
    entropy -= shares[k] * std::log2(shares[k]);
  }
  ProcessOptions options;
  options.sigma_min = 1e-4;
  const Process process = MakeProcess("edm", options);
  const auto bits = [&](const Mixture& mixture, bool spread) {
    std::vector<double> x;
    std::vector<double> weight;
    constexpr int kPlaces = 8;
    for (size_t k = 0; k < values.size(); ++k) {
      for (int i = 0; i < kPlaces; ++i) {
        x.push_back(InCell(values[k], spread ? (i + 0.5) / kPlaces : 0.5));
        weight.push_back(shares[k] / kPlaces);
      }
    }
    const auto found =
        Evaluate(process, mixture.DenoiserProduct(), Numbers(0, static_cast<int64_t>(x.size())), x,
                 {.probes = 0, .tolerance = 1e-6});
    double sum = 0.0;
    for (size_t r = 0; r < x.size(); ++r) sum += weight[r] * BitsPerDimension(found[r].nats, 1);
    return sum;
  };
  const double spread = bits(Mixture(components), true);
  EXPECT_GE(spread, entropy);
  EXPECT_LE(spread, entropy + 0.5);
  for (reference::Component& c : components) c.sd = 0.01 * cell;
  EXPECT_LT(bits(Mixture(components), false), 0.0);  // the wrong rule
  // Uniform data of all values need their 8 bits: nats 0 - ln 2 of the density 1/2.
  EXPECT_DOUBLE_EQ(BitsPerDimension(-M_LN2, 1), 8.0);
  EXPECT_DOUBLE_EQ(BitsPerDimension(-10 * M_LN2, 10), 8.0);
}

}  // namespace
}  // namespace tl
