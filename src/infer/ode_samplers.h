// SPDX-License-Identifier: Apache-2.0
// Samplers that follow the probability-flow ODE (samplers.h).
#pragma once

#include "infer/samplers.h"

namespace tl {

absl::StatusOr<std::vector<double>> SampleEuler(const SamplingProblem& problem,
                                                const SamplerOptions& options);
absl::StatusOr<std::vector<double>> SampleHeun(const SamplingProblem& problem,
                                               const SamplerOptions& options);
absl::StatusOr<std::vector<double>> SampleDpm(const SamplingProblem& problem,
                                              const SamplerOptions& options);
absl::StatusOr<std::vector<double>> SampleRk45(const SamplingProblem& problem,
                                               const SamplerOptions& options);

}  // namespace tl
