// SPDX-License-Identifier: Apache-2.0
// All that a report tells of one run, out of its folder.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "config/config.h"
#include "report/history.h"
#include "report/read_metrics.h"

namespace tl {

struct Run {
  std::string dir;
  std::string name;  // the folder's, made longer where another run has the same
  Config config;
  RunMetrics metrics;
  History history;
  nlohmann::json calibration;            // RUN/calibration.json; null: none
  std::vector<nlohmann::json> decoding;  // RUN/decoding.json: what `generate --report --json` wrote

  int64_t last_step() const { return metrics.steps.rows() == 0 ? 0 : metrics.steps.steps.back(); }
};

// Errors name the file. What is there beside config and metrics is optional; what of it cannot be
// read is warned of. Of a run without events.jsonl, as older versions wrote them, the newest
// checkpoint says who saved it and what it read.
absl::StatusOr<Run> LoadRun(const std::string& dir);
absl::StatusOr<std::vector<Run>> LoadRuns(absl::Span<const std::string> dirs);

}  // namespace tl
