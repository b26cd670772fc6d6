// SPDX-License-Identifier: Apache-2.0
// [checkpoint]: what is saved, and resumed from.
#pragma once

#include <cstdint>
#include <string>

#include "base/duration.h"

namespace tl {

struct ConfigSection;

struct CheckpointConfig {
  std::string dir;               // empty: [run] dir
  int64_t every = 0;             // steps; 0: only at the end
  int64_t keep = 2;              // the newest so many; 0: all
  int64_t keep_every = 0;        // and steps that are multiples; 0: none
  bool async = true;             // training goes on while a checkpoint is written
  int64_t max_failed_saves = 3;  // in a row; then training stops
  std::string resume = "auto";   // "auto", "never" or a path
  Duration time_limit;           // from the program's start, the last save included; 0: none
  bool operator==(const CheckpointConfig&) const = default;
};

ConfigSection CheckpointSection();

}  // namespace tl
