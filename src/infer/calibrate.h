// SPDX-License-Identifier: Apache-2.0
// `trunkline calibrate`: which drafts are worth their time, for one model on one machine.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "checkpoint/load.h"
#include "comm/communicator.h"

namespace tl {

struct Config;  // config/config.h

struct CalibrateOptions {
  std::string run_dir;
  std::vector<std::string> data;  // token files; empty: [data] eval of the run
  int64_t tokens = 16384;         // of them
  int64_t nodes = 0;              // of the tree; 0: as many as are fastest
  std::string out;                // empty: CalibrationPath(run_dir)
  WhichWeights weights = WhichWeights::kAveragedIfThere;
};

// Measures how often the drafts of heads are accepted, by head and rank, and what passes cost;
// grows the tree of drafts that promises the most tokens per second; decodes some text greedily
// with every drafter that the model can have; writes all that to a file and tells it on rank 0.
// Collective.
absl::Status Calibrate(const CalibrateOptions& options, const Config& config, Communicator& world);

}  // namespace tl
