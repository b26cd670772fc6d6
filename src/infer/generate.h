// SPDX-License-Identifier: Apache-2.0
// Text from a trained model.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "checkpoint/load.h"
#include "comm/communicator.h"
#include "infer/drafter.h"
#include "infer/verify.h"

namespace tl {

struct Config;  // config/config.h

struct GenerateOptions {
  std::vector<std::string> prompts;
  int64_t batch = 1;  // of them decoded at once; the texts do not depend on it
  int64_t max_tokens = 200;
  std::vector<std::string> stops;  // a text ends before the first of them
  // The average of weights, where one is kept; of the draft model kAveraged means the same.
  WhichWeights weights = WhichWeights::kAveragedIfThere;
  uint64_t seed = 1;
  SamplingOptions sampling;
  std::string speculate = "none";
  std::string verify;  // empty: what suits the drafter
  TypicalOptions typical;
  int64_t drafts = 4;
  int64_t branches = 1;
  int64_t exit_layer = 0;
  std::string draft_model;  // a run folder
  std::string tree;         // heads: "chain", "4x2x1" or a calibration file; empty: the run's
  bool json = false;        // one JSON object per line
  bool stream = false;      // with json: one per pass too
  bool report = false;
};

// Refuses options that do not go together, before anything is loaded.
absl::Status Validate(const GenerateOptions& options);

// Continues the prompts with the newest save in run_dir and prints to stdout, on rank 0: one
// prompt's text as it comes, several ones' in their order, each when complete. draft_config: of
// options.draft_model, else null. Collective.
absl::Status Generate(const std::string& run_dir, const Config& run_config,
                      const Config* draft_config, const GenerateOptions& options,
                      Communicator& world);

}  // namespace tl
