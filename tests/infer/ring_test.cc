// SPDX-License-Identifier: Apache-2.0
// Samplers on a ring of eight Gaussians with the exact denoiser: 4000 samples by each against
// samples of the ring itself.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "infer/samplers.h"
#include "tests/infer/ring.h"
#include "tests/infer/sampler_rig.h"

namespace tl {
namespace {

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
