// SPDX-License-Identifier: Apache-2.0
// Steps back in time of a noising process. All are affine in what a sample is, what the denoiser
// makes of it, and a draw: x <- x x + clean D + noise z. The score is s = (alpha D - x) / sigma^2.
#pragma once

#include "objective/process.h"

namespace tl {

struct AffineStep {
  double x = 1.0, clean = 0.0, noise = 0.0;
};

// The slope by t of the probability-flow ODE, alpha' D + (sigma' / sigma)(x - alpha D): its noise
// is 0. It is f x - g^2 s / 2, without what goes to infinity where alpha goes to 0.
AffineStep FlowSlope(const Marginal& m);

// The square of the noise that the SDE of a sampler adds in a time. Any is as right as another,
// with a drift that fits. g^2, where that is bounded; an interpolant's (sigma^2)', which is SiT's
// choice.
double SamplingDiffusion(const Process& process, const Marginal& m);

// Euler and Maruyama's over `dt` > 0 back: x - dt (slope - level^2 w s / 2) + level sqrt(w dt) z.
// w: the SDE's diffusion; level 1: the reverse SDE, 0: the ODE.
AffineStep EulerMaruyamaStep(const Marginal& from, double dt, double w, double level);

// With a = alpha_from / alpha_to and G^2 = sigma_from^2 - a^2 sigma_to^2, the step that the process
// made: (2 - a) x + G^2 s + G z.
AffineStep ReverseDiffusionStep(const Marginal& from, const Marginal& to);

// x_to given x_from and x_0 = D, with more noise where x_0 spreads: G^2 v_to / v_from for v =
// sigma^2 + alpha^2 data_spread^2. It is exact for data N(0, data_spread^2).
AffineStep AncestralStep(const Marginal& from, const Marginal& to, double data_spread);

}  // namespace tl
