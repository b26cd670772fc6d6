// SPDX-License-Identifier: Apache-2.0
// Samplers on a ring of eight Gaussians with the exact denoiser: 4000 samples by each against
// samples of the ring itself.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "infer/samplers.h"
#include "tests/infer/chi_square.h"
#include "tests/infer/sampler_rig.h"
#include "tests/reference/mixture.h"

namespace tl {
namespace {

constexpr int kModes = 8;
constexpr double kSd = 0.1;
constexpr size_t kRingSamples = 4000;

// Means of |a - b|, to 1e-6; those of a point with itself are left out.
double MeanDistance(const std::vector<double>& a, const std::vector<double>& b) {
  const bool same = &a == &b;
  std::vector<float> x(kRingSamples), y(kRingSamples);
  for (size_t j = 0; j < kRingSamples; ++j) {
    x[j] = static_cast<float>(b[2 * j]);
    y[j] = static_cast<float>(b[2 * j + 1]);
  }
  double sum = 0.0;
  for (size_t i = 0; i < kRingSamples; ++i) {
    const auto at_x = static_cast<float>(a[2 * i]), at_y = static_cast<float>(a[2 * i + 1]);
    float row = 0.0f;
#pragma omp simd reduction(+ : row)
    for (size_t j = same ? i + 1 : 0; j < kRingSamples; ++j)
      row += std::sqrt((at_x - x[j]) * (at_x - x[j]) + (at_y - y[j]) * (at_y - y[j]));
    sum += row;
  }
  const auto n = static_cast<double>(kRingSamples);
  return same ? sum / (0.5 * n * (n - 1.0)) : sum / (n * n);
}

struct Findings {
  double energy;     // the energy distance; of two sets of samples -0.0005 .. 0.001
  double occupancy;  // of the modes, as a standard normal deviate
  double radial, tangential, crossed;  // covariance within the modes, over kSd^2
};

class Ring {
 public:
  Ring() : ring_(reference::Mixture::Ring(kModes, kSd)) {
    truth_ = Truth(1);
    within_ = MeanDistance(truth_, truth_);
  }
  const reference::Mixture& mixture() const { return ring_; }
  std::vector<double> Truth(uint64_t seed) const {
    std::vector<double> points;
    for (size_t i = 0; i < kRingSamples; ++i) {
      const std::vector<double> x = ring_.Sample(seed, static_cast<int64_t>(i));
      points.insert(points.end(), x.begin(), x.end());
    }
    return points;
  }

  Findings Look(const std::vector<double>& x) const {
    Findings f{.energy = 2.0 * MeanDistance(x, truth_) - within_ - MeanDistance(x, x),
               .occupancy = 0.0,
               .radial = 0.0,
               .tangential = 0.0,
               .crossed = 0.0};
    std::vector<int64_t> counts(kModes);
    for (size_t i = 0; i < kRingSamples; ++i) {
      const double turn = 2.0 * M_PI / kModes;
      const double mode = std::round(std::atan2(x[2 * i + 1], x[2 * i]) / turn);
      ++counts[static_cast<size_t>(mode + kModes) % kModes];
      const double c = std::cos(mode * turn), s = std::sin(mode * turn);
      const double along = x[2 * i] * c + x[2 * i + 1] * s - 1.0;
      const double across = x[2 * i + 1] * c - x[2 * i] * s;
      const double share = 1.0 / (kSd * kSd * static_cast<double>(kRingSamples));
      f.radial += along * along * share;
      f.tangential += across * across * share;
      f.crossed += along * across * share;
    }
    f.occupancy = ChiSquareDeviate(counts, std::vector<double>(kModes, 1.0 / kModes));
    return f;
  }

 private:
  reference::Mixture ring_;
  std::vector<double> truth_;
  double within_;
};

const Ring& TheRing() {
  static const auto* const ring = new Ring;
  return *ring;
}

struct RingCase {
  const char* sampler;
  const char* process;
  SamplerOptions options;
  double variance = 0.10;  // how far variances within modes may be off: 0.022 is one deviation
};

Findings FindingsOf(const RingCase& c, const Denoiser& denoiser) {
  return TheRing().Look(Draw(c.sampler, MakeProcess(c.process), denoiser, SamplingNoise(5),
                             Numbers(0, kRingSamples), 2, c.options));
}

bool IsTheRing(const Findings& f, double variance) {
  return f.energy < 1.2e-3 && std::fabs(f.occupancy) < 3.3 &&
         std::fabs(f.radial - 1.0) < variance && std::fabs(f.tangential - 1.0) < variance &&
         std::fabs(f.crossed) < 0.10;
}

std::string Text(const Findings& f) {
  return absl::StrCat("energy distance ", f.energy, ", occupancy ", f.occupancy, ", radial ",
                      f.radial, ", tangential ", f.tangential, ", crossed ", f.crossed);
}

TEST(Ring, SamplesOfItself) {
  const Findings f = TheRing().Look(TheRing().Truth(2));
  EXPECT_TRUE(IsTheRing(f, 0.08)) << Text(f);
}

TEST(Ring, EverySamplerFindsIt) {
  // Those of first order have few steps here, and their modes are as much too wide.
  const RingCase cases[] = {
      {"heun", "edm", {.steps = 36}},
      {"heun", "edm", {.steps = 36, .churn = 10.0}},
      {"heun", "cosine", {.steps = 80}},
      {"euler", "edm", {.steps = 150}},
      {"dpm++", "vp", {.steps = 36}},
      {"rk45", "subvp", {}},
      {"rk45", "flow", {}},
      {"euler-maruyama", "vp", {.steps = 150}, 0.20},
      {"euler-maruyama", "ve", {.steps = 150}},
      {"euler-maruyama", "flow", {.steps = 100}},
      {"reverse-diffusion", "vp", {.steps = 150}, 0.30},
      {"ancestral", "ve", {.steps = 150}, 0.15},
      {"ancestral", "flow", {.steps = 100}, 0.20},
      {"predictor-corrector", "ve", {.steps = 120}, 0.30},
      {"langevin", "ve", {.steps = 80, .langevin_step = 0.2, .langevin_repeats = 4}, 0.20},
  };
  for (const RingCase& c : cases) {
    const Findings f = FindingsOf(c, TheRing().mixture().Denoiser());
    EXPECT_TRUE(IsTheRing(f, c.variance)) << c.sampler << " " << c.process << ": " << Text(f);
  }
}

// What is not the ring is not taken for it: a mode that is twice as likely, modes a fifth wider,
// and steps twice as long as the noise says.
TEST(Ring, WrongOnesAreSeen) {
  std::vector<reference::Component> components = TheRing().mixture().components();
  components[0].weight *= 2.0;
  const RingCase heun = {"heun", "edm", {.steps = 36}};
  EXPECT_FALSE(IsTheRing(FindingsOf(heun, reference::Mixture(components).Denoiser()), 0.10));
  const reference::Mixture wide = reference::Mixture::Ring(kModes, 1.2 * kSd);
  EXPECT_FALSE(IsTheRing(FindingsOf(heun, wide.Denoiser()), 0.10));
  const Denoiser twice = [](absl::Span<const double> x_hat, absl::Span<const double> noise,
                            absl::Span<double> clean) {
    const absl::Status status = TheRing().mixture().Denoiser()(x_hat, noise, clean);
    for (size_t i = 0; i < clean.size(); ++i) clean[i] += clean[i] - x_hat[i];
    return status;
  };
  EXPECT_FALSE(IsTheRing(FindingsOf(heun, twice), 0.10));
}

}  // namespace
}  // namespace tl
