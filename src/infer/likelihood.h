// SPDX-License-Identifier: Apache-2.0
// The exact log-density of a sample under the probability-flow ODE (Chen et al. 2018; Song et al.
// 2021). With u = ln noise the ODE is the same for every process,
//   dx_hat/du = x_hat - D,
//   ln p(x_0) = ln N(x_hat; 0, noise_max^2) + integral of (d - tr dD/dx_hat) du
// from noise_min, where x_0 is put, to noise_max. p is the density of the data with noise_min.
//
// The trace is estimated by v . (J^T v) with random signs v (Hutchinson; Grathwohl et al. 2019),
// the same through all of the integration of a sample, so that what is integrated is smooth, or
// taken exactly over all unit vectors.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "objective/process.h"

namespace tl {

// Writes clean = D(x_hat; noise) as a Denoiser does, and product = (dD/dx_hat)^T probe. All
// [rows][width], noise [rows].
using DenoiserProduct = std::function<absl::Status(
    absl::Span<const double> x_hat, absl::Span<const double> noise, absl::Span<const double> probe,
    absl::Span<double> clean, absl::Span<double> product)>;

// Widths up to which exact traces are taken.
inline constexpr int64_t kMostExactProbes = 64;

struct LikelihoodOptions {
  uint64_t seed = 0;        // of the probes
  int64_t probes = 1;       // for each sample; 0: exact
  double tolerance = 1e-5;  // of the state and of ln p per dimension
};

struct Likelihood {
  double nats = 0.0;   // ln p(x_0)
  double prior = 0.0;  // of them, those of ln N(x_hat; 0, noise_max^2)
  int64_t evaluations = 0;
};

// samples: their numbers, which probes go by; x [rows][width]: the data.
absl::StatusOr<std::vector<Likelihood>> LogDensities(const Process& process,
                                                     const DenoiserProduct& denoiser,
                                                     absl::Span<const int64_t> samples,
                                                     absl::Span<const double> x, int64_t width,
                                                     const LikelihoodOptions& options);

// Returns the bits per dimension that data of `values` values need which were spread evenly over
// their cells of [-1, 1] before (Theis et al. 2016): only then is the density a bound on their
// probability.
double BitsPerDimension(double nats, int64_t width, int64_t values = 256);

// Puts value 0, 1, .. < values into its cell of [-1, 1]: at `place` of the way through it, from
// (0, 1) by chance for likelihoods; 0.5 is its centre.
inline double InCell(int64_t value, double place, int64_t values = 256) {
  return (static_cast<double>(value) + place) * 2.0 / static_cast<double>(values) - 1.0;
}

}  // namespace tl
