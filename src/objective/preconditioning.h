// SPDX-License-Identifier: Apache-2.0
// How the network's output F makes an estimate of the data, and what F is trained on:
//   D(x_hat; noise) = skip x_hat + out F(in x_hat; level).
// The loss is the mean square of F against its target whatever F predicts, so that Karras et al.'s
// lambda c_out^2 = 1, the loss in the noise, and flow matching's loss in the velocity are one.
//   noise     F -> z = (x_hat - x_0) / noise
//   edm       F -> (x_0 - c_skip x_hat) / c_out: input and target have mean square 1 at every
//             noise, where that of the data is sigma_data^2
//   velocity  F -> alpha' x_0 + sigma' z, of the process
#pragma once

#include "absl/types/span.h"
#include "objective/process.h"

namespace tl {

struct Coefficients {
  double in, skip, out;
  double level;  // Process::Level
};

// At this noise. `in` of noise and velocity is alpha, so that the network sees x_t; where x_t grows
// with the noise it is scaled to a mean square of 1.
Coefficients CoefficientsAt(const Process& process, Prediction prediction, double noise);

// Whether they depend on sigma_data, which then should be the data's.
inline bool ScalesByData(const Process& process, Prediction prediction) {
  return process.kind().grows || prediction == Prediction::kEdm;
}

// Returns D of F.
inline double CleanOf(const Coefficients& c, double x_hat, double f) {
  return c.skip * x_hat + c.out * f;
}
// Returns (dD/dx_hat)^T v of (dF/d(in x_hat))^T v.
inline double ProductOf(const Coefficients& c, double v, double of_f) {
  return c.skip * v + c.out * c.in * of_f;
}
// Returns the F whose D is the clean value.
inline double TargetOf(const Coefficients& c, double x_hat, double clean) {
  return (clean - c.skip * x_hat) / c.out;
}

// The weight of F's square error in the likelihood: |x_0 - D|^2 / noise^2 = this |F - target|^2,
// which is to be drawn evenly in ln noise (TrainingTimes::kLikelihood): g^2 / sigma^2 dt = 2 d ln
// noise.
inline double LikelihoodWeight(const Coefficients& c, double noise) {
  return (c.out / noise) * (c.out / noise);
}

// Writes cos(level w_k) and then sin(level w_k), w_k = 1e4^(-k / half), k < half, half of out.
void LevelFeatures(double level, absl::Span<float> out);

}  // namespace tl
