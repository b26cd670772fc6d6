// SPDX-License-Identifier: Apache-2.0
// A bound from above on -ln p(x_0), in nats per dimension, for every process alike (Kingma et al.,
// "Variational Diffusion Models", NeurIPS 2021). Between two noises,
//   bound = prior(noise_max) + mean over ln noise, even between them, of the diffusion's term
//           + decoder(noise_min).
// Each is unbiased from one drawing, so that an image takes one pass of the network.
#pragma once

#include <cstdint>

#include "absl/types/span.h"

namespace tl {

// KL(N(x_0, noise^2) || N(0, noise^2)): |x_0|^2 / (2 d noise^2).
double PriorNats(absl::Span<const double> x, double noise_max);

// What the mean square error of D at this noise is multiplied by: ln(noise_max / noise_min) /
// noise^2.
double DiffusionWeight(double noise_min, double noise_max, double noise);

// -ln p(x_0) of the decoder N(mean, noise^2). The mean is x_hat at noise_min, or what the network
// makes of it.
double DecoderNats(absl::Span<const double> x, absl::Span<const double> mean, double noise);

// The same where x_0 is one of `values` values, the centres of equal cells of [-1, 1]: the normal
// density at the values, normalised over them.
double DiscreteDecoderNats(absl::Span<const double> x, absl::Span<const double> mean, double noise,
                           int64_t values = 256);

}  // namespace tl
