// SPDX-License-Identifier: Apache-2.0
// Noising processes in continuous time, x_t = alpha(t) x_0 + sigma(t) z with z ~ N(0, I). A process
// is two functions and a few constants; the drift and the diffusion of its stochastic differential
// equation dx = f x dt + g dw follow. All in fp64 on the host; nothing here knows of tensors.
//
// What differs between processes is gone from x_hat = x_t / alpha = x_0 + noise z, where "the noise"
// is sigma / alpha: networks are asked for D(x_hat; noise) = E[x_0 | x_hat], whatever process they
// were trained with.
//
//   vp, subvp, ve  Song et al., "Score-Based Generative Modeling through Stochastic Differential
//                  Equations", ICLR 2021; ve is SMLD (Song & Ermon 2019) in continuous time
//   edm            Karras et al., "Elucidating the Design Space of Diffusion-Based Generative
//                  Models", NeurIPS 2022
//   flow, cosine   Ma et al., "SiT", ECCV 2024: straight lines between data and noise (Lipman et
//                  al., Liu et al., ICLR 2023), and its GVP
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/types/span.h"

namespace tl {

// At a time; the derivatives by it.
struct Marginal {
  double alpha = 1.0, sigma = 0.0, d_alpha = 0.0, d_sigma = 0.0;
  double noise() const { return sigma / alpha; }
};

// f = alpha' / alpha.
double Drift(const Marginal& m);
// g^2 = (sigma^2)' - 2 f sigma^2.
double DiffusionSquared(const Marginal& m);

// What the network's output F stands for (preconditioning.h).
enum class Prediction : uint8_t { kNoise, kEdm, kVelocity };
const char* Name(Prediction prediction);

// How times are drawn in training (training_times.h).
enum class TrainingTimes : uint8_t { kUniform, kLognormal, kLikelihood, kLadder };
const char* Name(TrainingTimes times);

// The numbers that processes take; each reads those that its kind names.
struct ProcessOptions {
  double sigma_min = 0.0, sigma_max = 0.0;  // 0: the kind's own
  double beta_min = 0.1, beta_max = 20.0;
  double sigma_data = 0.5;            // root of the data's mean square
  double p_mean = -1.2, p_std = 1.2;  // of ln noise, where times are lognormal
  int64_t levels = 0;                 // of the ladder
};

struct TimeRange {
  double low;     // of training, likelihood and bound
  double sample;  // samplers go down to here; 0: to the data
  double high;
};

struct ProcessKind {
  const char* name;
  Marginal (*at)(const ProcessOptions& options, double t);
  // The time at which sigma / alpha is `noise`.
  double (*time_of)(const ProcessOptions& options, double noise);
  TimeRange (*range)(const ProcessOptions& options);
  Prediction prediction;  // by default
  TrainingTimes times;    // by default
  // From data at t = 0 to pure noise, alpha = 0, at t = 1.
  bool interpolant = false;
  // alpha = 1: x_t grows with the noise.
  bool grows = false;
  // Whether equal steps of t are sensible ones for its stochastic samplers.
  bool even_times = true;
  double sigma_min = 0.0, sigma_max = 0.0;  // by default, where it reads them
  std::vector<const char*> keys = {};       // of ProcessOptions, those that it reads
};

// The table, in the order in which processes are named.
absl::Span<const ProcessKind> ProcessKinds();
// Null where there is none of this name.
const ProcessKind* FindProcessKind(const std::string& name);

// A kind with its numbers.
class Process {
 public:
  Process(const ProcessKind& kind, const ProcessOptions& options);

  const ProcessKind& kind() const { return *kind_; }
  const ProcessOptions& options() const { return options_; }
  const TimeRange& times() const { return range_; }
  Marginal At(double t) const { return kind_->at(options_, t); }
  double TimeOf(double noise) const { return kind_->time_of(options_, noise); }
  // The noise at both ends of times().
  double noise_min() const { return noise_min_; }
  double noise_max() const { return noise_max_; }
  // Where samplers that do not go to the data end.
  double noise_sample() const;

  // What the network is told of the noise, 0 at noise_min and 1000 at noise_max: even in ln noise;
  // an interpolant's is 1000 t.
  double Level(double noise) const;

 private:
  const ProcessKind* kind_;
  ProcessOptions options_;
  TimeRange range_;
  double noise_min_, noise_max_;
};

}  // namespace tl
