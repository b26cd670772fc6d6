// SPDX-License-Identifier: Apache-2.0
// [parallel]: the grid of ranks.
#pragma once

#include <cstdint>
#include <string>

namespace tl {

struct ConfigSection;

struct ParallelConfig {
  int tensor = 1;
  bool sequence = false;  // activations between the linears are split over the tensor group
  int64_t bucket_elements = 4 << 20;  // of a gradient bucket
  std::string transport = "auto";     // between GPUs
  bool operator==(const ParallelConfig&) const = default;
};

ConfigSection ParallelSection();

}  // namespace tl
