// SPDX-License-Identifier: Apache-2.0
// metrics.jsonl, read as it streams by: a line of it is never kept.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "report/metric_table.h"

namespace tl {

struct RunMetrics {
  MetricTable steps;
  MetricTable evaluations;
  int64_t unreadable = 0;  // lines that are no records; one that is cut at the end does not count
};

// Keeps what a report draws. Of steps and evaluations that occur twice, as where files of a training
// and of its second start were put together, the later count. Errors name the file.
absl::StatusOr<RunMetrics> ReadMetrics(const std::string& path);

}  // namespace tl
