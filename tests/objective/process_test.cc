// SPDX-License-Identifier: Apache-2.0
// Processes against their published formulas, and what networks predict in them.
#include "objective/process.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "base/normals.h"
#include "objective/preconditioning.h"

namespace tl {
namespace {

double Relative(double found, double expected) {
  return std::fabs(found - expected) / std::max(std::fabs(expected), 1e-12);
}

// Times all over the range, dense at its ends.
std::vector<double> Times(const Process& process) {
  const double low = process.times().low, high = process.times().high;
  std::vector<double> times;
  for (int i = 0; i <= 200; ++i) {
    const double part = i / 200.0;
    times.push_back(low + (high - low) * part);
    times.push_back(low + (high - low) * std::pow(part, 4));
    times.push_back(high - (high - low) * std::pow(part, 4));
  }
  return times;
}

void ForEachProcess(const std::function<void(const Process&)>& body) {
  for (const ProcessKind& kind : ProcessKinds()) {
    SCOPED_TRACE(kind.name);
    body(Process(kind, {}));
  }
}

TEST(Process, NamesAreFound) {
  for (const char* name : {"vp", "subvp", "ve", "edm", "flow", "cosine"})
    EXPECT_NE(FindProcessKind(name), nullptr) << name;
  EXPECT_EQ(ProcessKinds().size(), 6u);
  EXPECT_EQ(FindProcessKind("ddpm"), nullptr);
}

TEST(Process, DerivativesAreThoseOfItsFunctions) {
  ForEachProcess([](const Process& process) {
    for (const double t : Times(process)) {
      // sigma of vp is no polynomial near 0, so the step is a part of t.
      const double h = 1e-3 * std::min(t, process.times().high - t + 1e-2);
      const auto slope = [&](double Marginal::* of) {
        const auto at = [&](double s) { return process.At(s).*of; };
        return (8.0 * (at(t + h) - at(t - h)) - (at(t + 2 * h) - at(t - 2 * h))) / (12.0 * h);
      };
      const Marginal m = process.At(t);
      ASSERT_NEAR(m.d_alpha, slope(&Marginal::alpha), 1e-7 * (1.0 + std::fabs(m.d_alpha))) << t;
      ASSERT_NEAR(m.d_sigma, slope(&Marginal::sigma), 1e-7 * (1.0 + std::fabs(m.d_sigma))) << t;
    }
  });
}

// f and g^2 as Song et al. 2021 and Karras et al. 2022 write them, and SiT's for interpolants.
struct Published {
  const char* name;
  double (*drift)(double t);
  double (*diffusion)(double t);
};
double Beta(double t) { return 0.1 + 19.9 * t; }
const Published kPublished[] = {
    {"vp", [](double t) { return -0.5 * Beta(t); }, Beta},
    {"subvp", [](double t) { return -0.5 * Beta(t); },
     [](double t) { return Beta(t) * (1.0 - std::exp(-2.0 * 0.1 * t - 19.9 * t * t)); }},
    {"ve", [](double) { return 0.0; },
     [](double t) {
       const double sigma = 0.01 * std::pow(50.0 / 0.01, t);
       return sigma * sigma * 2.0 * std::log(50.0 / 0.01);
     }},
    {"edm", [](double) { return 0.0; }, [](double t) { return 2.0 * t; }},
    {"flow", [](double t) { return -1.0 / (1.0 - t); },
     [](double t) { return 2.0 * t / (1.0 - t); }},
    {"cosine", [](double t) { return -0.5 * M_PI * std::tan(0.5 * M_PI * t); },
     [](double t) { return M_PI * std::tan(0.5 * M_PI * t); }},
};

TEST(Process, DriftAndDiffusionAreThePublishedOnes) {
  for (const Published& published : kPublished) {
    SCOPED_TRACE(published.name);
    const Process process(*FindProcessKind(published.name), {});
    bool without_drift = true;
    for (const double t : Times(process)) {
      const Marginal m = process.At(t);
      ASSERT_LE(std::fabs(Drift(m) - published.drift(t)), 1e-7 * (1.0 + std::fabs(Drift(m)))) << t;
      ASSERT_LE(Relative(DiffusionSquared(m), published.diffusion(t)), 1e-7) << t;
      // A wrong rule: the growth of the variance alone.
      without_drift &= Relative(2.0 * m.sigma * m.d_sigma, published.diffusion(t)) < 1e-7;
      // The likelihood's weight g^2 / sigma^2 is even in ln noise.
      const double rate = m.d_sigma / m.sigma - m.d_alpha / m.alpha;
      ASSERT_LE(Relative(DiffusionSquared(m) / (m.sigma * m.sigma), 2.0 * rate), 1e-7) << t;
    }
    EXPECT_EQ(without_drift, process.kind().grows);
  }
}

TEST(Process, TimeOfInvertsTheNoise) {
  ForEachProcess([](const Process& process) {
    for (const double t : Times(process))
      ASSERT_NEAR(process.TimeOf(process.At(t).noise()), t, 1e-12 * std::max(t, 1e-2)) << t;
  });
}

// All noises of all processes: nothing is lost at the ends of the formulas.
TEST(Process, NoiseInvertsTheTime) {
  ForEachProcess([](const Process& process) {
    for (double noise = process.noise_min(); noise <= process.noise_max(); noise *= 1.1)
      ASSERT_LE(Relative(process.At(process.TimeOf(noise)).noise(), noise), 1e-10) << noise;
  });
}

TEST(Process, LevelsRunFrom0To1000) {
  ForEachProcess([](const Process& process) {
    const double ends = process.kind().interpolant ? 1000.0 * process.times().low : 0.0;
    EXPECT_NEAR(process.Level(process.noise_min()), ends, 1e-9);
    EXPECT_NEAR(process.Level(process.noise_max()), 1000.0 - ends, 1e-9);
    double before = -1.0;
    for (double noise = process.noise_min(); noise < process.noise_max(); noise *= 1.5) {
      EXPECT_GT(process.Level(noise), before);
      before = process.Level(noise);
    }
  });
}

TEST(Process, OptionsReplaceItsNumbers) {
  ProcessOptions options;
  options.sigma_min = 0.1;
  options.sigma_max = 10.0;
  options.beta_min = options.beta_max = 3.0;
  EXPECT_NEAR(Process(*FindProcessKind("ve"), options).At(0.5).sigma, 1.0, 1e-14);
  EXPECT_EQ(Process(*FindProcessKind("edm"), options).times().high, 10.0);
  const Process vp(*FindProcessKind("vp"), options);
  EXPECT_NEAR(DiffusionSquared(vp.At(0.3)), 3.0, 1e-12);
  EXPECT_NEAR(vp.TimeOf(vp.At(0.3).noise()), 0.3, 1e-13);  // no rise of beta
}

TEST(Preconditioning, TargetsAreThePublishedOnes) {
  ForEachProcess([](const Process& process) {
    std::vector<double> z(64);
    FillNormals(StreamKey("test", 1), 0, 0, absl::MakeSpan(z));
    for (size_t i = 0; i + 1 < z.size(); i += 2) {
      const double part = static_cast<double>(i) / static_cast<double>(z.size());
      const double noise =
          process.noise_min() * std::pow(process.noise_max() / process.noise_min(), part);
      const Marginal m = process.At(process.TimeOf(noise));
      const double clean = 0.5 * z[i], x_t = m.alpha * clean + m.sigma * z[i + 1];
      const double x_hat = clean + noise * z[i + 1], total = std::hypot(0.5, noise);
      const double edm = (clean - 0.25 / (total * total) * x_hat) / (noise * 0.5 / total);
      const double targets[] = {z[i + 1], edm, m.d_alpha * clean + m.d_sigma * z[i + 1]};
      for (const Prediction p : {Prediction::kNoise, Prediction::kEdm, Prediction::kVelocity}) {
        const Coefficients c = CoefficientsAt(process, p, noise);
        const double target = targets[static_cast<size_t>(p)];
        // What the target is made of has lost digits where the noise is small.
        const double lost = 1e-14 * (std::fabs(clean) + std::fabs(x_hat)) / std::fabs(c.out);
        ASSERT_NEAR(TargetOf(c, x_hat, clean), target, lost + 1e-8 * (1.0 + std::fabs(target)))
            << Name(p) << " at " << noise;
        ASSERT_NEAR(CleanOf(c, x_hat, target), clean, 1e-8 * (1.0 + std::fabs(x_hat)));
        // The likelihood's weight of F is that of D.
        const double f = target + 1.0, d = CleanOf(c, x_hat, f);
        ASSERT_NEAR(LikelihoodWeight(c, noise) * noise * noise, (clean - d) * (clean - d),
                    1e-8 * noise * noise + 1e-8 * (clean - d) * (clean - d) + 1e-12);
        if (p != Prediction::kEdm && !process.kind().grows) {
          ASSERT_NEAR(c.in * x_hat, x_t, 1e-9 * (1.0 + std::fabs(x_t)));
        }
        ASSERT_EQ(c.level, process.Level(noise));
      }
    }
  });
}

// Where the data's mean square is sigma_data^2, those of edm's input and target are 1; so a network
// of zeros has the loss 1 at every noise.
TEST(Preconditioning, EdmKeepsMeanSquares) {
  const Process process(*FindProcessKind("edm"), {});
  for (const double noise : {0.002, 0.1, 1.0, 80.0}) {
    const Coefficients c = CoefficientsAt(process, Prediction::kEdm, noise);
    EXPECT_NEAR(c.in * c.in * (0.25 + noise * noise), 1.0, 1e-12);
    const double data = (1.0 - c.skip) / c.out, added = c.skip * noise / c.out;
    EXPECT_NEAR(0.25 * data * data + added * added, 1.0, 1e-12);
  }
}

TEST(Preconditioning, LevelsAreToldByWavesOfAllLengths) {
  std::vector<float> features(256);
  LevelFeatures(731.5, absl::MakeSpan(features));
  EXPECT_FLOAT_EQ(features[0], static_cast<float>(std::cos(731.5)));
  EXPECT_FLOAT_EQ(features[128], static_cast<float>(std::sin(731.5)));
  EXPECT_FLOAT_EQ(features[64], static_cast<float>(std::cos(7.315)));
  EXPECT_NEAR(features[255], std::sin(731.5 * std::pow(1e4, -127.0 / 128)), 1e-6);
}

}  // namespace
}  // namespace tl
