// SPDX-License-Identifier: Apache-2.0
// What generate's options about speculation come to for one run: who drafts, what, and by which
// rule drafts are taken.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "infer/drafter.h"

namespace tl {

struct Config;           // config/config.h
struct GenerateOptions;  // infer/generate.h

struct Speculation {
  std::string kind = "none";
  int64_t drafts = 0;   // of one sequence and pass, at most
  TreeShape tree = {};  // heads; empty: a chain
  Verification verification = Verification::kMatch;
  std::string told = {};            // to the user, where something was chosen; a line
  double calibrated_speedup = 0.0;  // of these drafts when they were calibrated; 0: not known
};

// --speculate auto takes what the run's calibration found fastest, and heads without a --tree its
// tree, where there is one. Refuses what does not go together.
absl::StatusOr<Speculation> ChooseSpeculation(const GenerateOptions& options, const Config& config,
                                              const std::string& run_dir);

}  // namespace tl
