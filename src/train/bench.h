// SPDX-License-Identifier: Apache-2.0
// The speed of training steps against what this machine's matrix products reach.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "comm/communicator.h"
#include "config/config.h"

namespace tl {

struct BenchOptions {
  int64_t steps = 10;     // timed; the median is reported
  int64_t warmup = 2;     // steps before them
  int64_t attention = 0;  // 1: also over lengths, head sizes and masks
};

// Runs training steps of the config on made-up tokens, writes nothing to disk, and prints on rank 0
// tokens per second, the time by phase, the fraction of the GEMM rate measured in the same process
// and of a known GPU's peak, memory planned and used, and the rates of copies and attention.
// Collective.
absl::Status Bench(const Config& config, const BenchOptions& options, Communicator& world);

}  // namespace tl
