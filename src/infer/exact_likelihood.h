// SPDX-License-Identifier: Apache-2.0
// The likelihood of samples under a trained model of values, by the probability-flow ODE.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "checkpoint/load.h"
#include "comm/communicator.h"
#include "config/config.h"
#include "data/source.h"
#include "infer/likelihood.h"

namespace tl {

struct ExactLikelihoodOptions {
  std::string run_dir;
  int64_t count = 0;   // the first so many samples
  int64_t batch = 16;  // samples that a rank has at once
  LikelihoodOptions integral = {};
  WhichWeights weights = WhichWeights::kAveragedIfThere;
};

// Refuses what does not go with the config's model: one of text, exact probes of wide samples.
absl::Status ValidateExactLikelihood(const ExactLikelihoodOptions& options, const Config& config);

// Of valid options. Prints the mean of -ln p over the samples, divided over the data ranks, and its standard error: in
// bits per dimension where data's values are bytes, which are to be spread over their cells, else in
// nats. What it says of a sample depends on its number; on a CPU not on batch and number of data
// ranks, see DenoisingModel::Estimate. Collective.
absl::Status PrintExactLikelihood(const ExactLikelihoodOptions& options, const Config& config,
                                  const DataSource& data, Communicator& world);

}  // namespace tl
