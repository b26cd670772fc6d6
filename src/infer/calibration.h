// SPDX-License-Identifier: Apache-2.0
// What `trunkline calibrate` found out about a model on a machine, as a JSON file.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "infer/pass_cost.h"
#include "infer/tree_shape.h"

namespace tl {

// Greedy decoding of the same prompts, one at a time, with one drafter.
struct DrafterTrial {
  std::string drafter;  // "none", "heads"
  bool tree = false;    // heads: with Calibration::tree, else a chain
  int64_t drafts = 0;   // per pass, at most
  double tau = 1.0;
  double tokens_per_second = 0.0;
  bool operator==(const DrafterTrial&) const = default;
};

struct Calibration {
  // What the figures hold for.
  std::string checkpoint = {};  // the name of the save
  std::string compute = {};     // "bf16"
  int64_t tensor = 1;           // ranks
  int64_t threads = 1;          // of each

  int64_t tokens = 0;  // of held-out text
  struct Head {
    int64_t reached = 0;
    std::vector<double> by_rank = {};  // conditional acceptance
    double chain_alpha = 0.0;          // the same along the likeliest tokens; NaN: never reached
  };
  std::vector<Head> heads = {};  // that draft

  PassCosts costs = {};
  TreeShape tree = {};              // empty: no tree is faster than plain decoding
  std::vector<double> values = {};  // P(node is taken)
  // Of that tree, greedy, one sequence at a time; of a tree of no nodes: of plain decoding.
  double predicted_tau = 1.0;
  double predicted_speedup = 1.0;

  std::vector<DrafterTrial> trials = {};  // "none" among them
  // The fastest of them.
  const DrafterTrial& Fastest() const;
  const DrafterTrial* Find(const std::string& drafter, bool tree) const;
};

// RUN_DIR/calibration.json.
std::string CalibrationPath(const std::string& run_dir);

std::string WriteCalibration(const Calibration& calibration);
// Whether a file that begins so is a calibration, of any version.
bool IsCalibration(absl::string_view begin);
// The parts that decoding uses, checked; `path` is for messages.
absl::StatusOr<Calibration> ParseCalibration(const std::string& text, const std::string& path);
absl::StatusOr<Calibration> ReadCalibration(const std::string& path);

// "none 100.0 tok/s; heads, tree of 12: tau 2.531, 170.1 tok/s, 1.70x; ...".
std::string Describe(const DrafterTrial& trial, double plain);

}  // namespace tl
