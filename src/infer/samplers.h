// SPDX-License-Identifier: Apache-2.0
// From noise to samples of the data: samplers, in fp64 on the host, around a denoiser.
//
// Nothing that a sampler does to a sample depends on the others of its batch: norms, step sizes and
// errors are each sample's own, and its random numbers come from its number. So a sample is the
// same in every batch, where the denoiser's answers are.
//
//   euler, heun          the probability-flow ODE; with churn Algorithm 2 of Karras et al. 2022
//   dpm++                DPM-Solver++(2M) (Lu et al. 2022), orders 1, 2, .., 2, 1
//   rk45                 the ODE by Dormand and Prince's pair with steps of each sample's own
//   euler-maruyama       the reverse SDE, or the family between it and the ODE (SiT)
//   reverse-diffusion, ancestral, predictor-corrector   Song et al. 2021
//   langevin             annealed Langevin dynamics on a ladder of noises (NCSN, Song & Ermon 2019)
//
// All end with the denoiser's answer at the last noise, so that samples carry none.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "objective/process.h"

namespace tl {

// Writes D(x_hat; noise), the estimates of the clean data, into clean. x_hat, clean [rows][width];
// noise [rows]. Rows do not depend on each other.
using Denoiser = std::function<absl::Status(
    absl::Span<const double> x_hat, absl::Span<const double> noise, absl::Span<double> clean)>;

// Writes a sample's standard normals of the draw 0, 1, .. into z.
using NoiseAt = std::function<void(int64_t sample, int64_t draw, absl::Span<double> z)>;
// By Philox, from the seed and the sample's number.
NoiseAt SamplingNoise(uint64_t seed);

// Classifier-free guidance (Ho & Salimans 2022): D_u + scale (D_c - D_u).
Denoiser Guided(Denoiser conditional, Denoiser unconditional, double scale);

// How noises are spaced.
enum class Spacing : uint8_t {
  kOwn,     // the sampler's and the process's own
  kKarras,  // even in noise^(1 / rho)
  kTime,    // even in the process's t
};
const char* Name(Spacing spacing);

struct SamplerOptions {
  int64_t steps = 0;  // noises; 0: the sampler's own
  Spacing spacing = Spacing::kOwn;
  double rho = 7.0;  // of kKarras
  // euler, heun: the noise that a step adds before it goes down, and between which noises.
  double churn = 0.0;
  double churn_min = 0.0, churn_max = std::numeric_limits<double>::infinity();
  double churn_noise = 1.0;  // the added noise's standard deviation
  double noise = 1.0;        // euler-maruyama: 1: the reverse SDE, 0: the ODE
  // ancestral: how far clean data are taken to spread about 0. 0: the variance given the estimate,
  // as in DDPM's lower bound and score_sde's VE; 1: its upper bound, as in score_sde's VP.
  double data_spread = 0.0;
  double snr = 0.16;             // predictor-corrector
  double tolerance = 1e-5;       // rk45, relative and absolute
  double langevin_step = 0.062;  // in squares of the level's noise
  int64_t langevin_repeats = 5;  // a level
};

struct SamplingProblem {
  const Process& process;
  const Denoiser& denoiser;
  const NoiseAt& noise;
  absl::Span<const int64_t> samples;  // their numbers, a row each
  int64_t width = 0;                  // of a row
};

struct SamplerKind {
  const char* name;
  int64_t steps;  // by default
  // Passes of the denoiser; 0: as many as the samples take.
  int64_t (*evaluations)(const SamplerOptions& options);
  absl::StatusOr<std::vector<double>> (*run)(const SamplingProblem& problem,
                                             const SamplerOptions& options);
};

// The table, in the order in which samplers are named.
absl::Span<const SamplerKind> SamplerKinds();
// Null where there is none of this name.
const SamplerKind* FindSamplerKind(const std::string& name);

// Fills in what the options leave to the sampler. Messages name the option.
absl::StatusOr<SamplerOptions> ResolveSampling(const SamplerKind& kind, SamplerOptions options);

// Returns the samples, [rows][width].
absl::StatusOr<std::vector<double>> DrawSamples(const SamplerKind& kind,
                                                const SamplingProblem& problem,
                                                const SamplerOptions& options);

}  // namespace tl
