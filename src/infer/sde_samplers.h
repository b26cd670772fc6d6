// SPDX-License-Identifier: Apache-2.0
// Samplers that draw noise at every step (samplers.h).
#pragma once

#include "infer/samplers.h"

namespace tl {

absl::StatusOr<std::vector<double>> SampleEulerMaruyama(const SamplingProblem& problem,
                                                        const SamplerOptions& options);
absl::StatusOr<std::vector<double>> SampleReverseDiffusion(const SamplingProblem& problem,
                                                           const SamplerOptions& options);
absl::StatusOr<std::vector<double>> SampleAncestral(const SamplingProblem& problem,
                                                    const SamplerOptions& options);
// A step of Langevin's at each noise, and then one of reverse diffusion. The corrector's step is
// 2 a^2 (snr |z| / |s|)^2, of the norms' means: that of z over all draws, that of s over the sample
// alone, where score_sde has means over the batch.
absl::StatusOr<std::vector<double>> SamplePredictorCorrector(const SamplingProblem& problem,
                                                             const SamplerOptions& options);
// Langevin's steps x <- x + e s + sqrt(2 e) z on x_hat, several at each level of the ladder, with e
// = langevin_step noise^2. NCSN's epsilon is langevin_step times the last level's square.
absl::StatusOr<std::vector<double>> SampleLangevin(const SamplingProblem& problem,
                                                   const SamplerOptions& options);

}  // namespace tl
