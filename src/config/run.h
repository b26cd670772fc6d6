// SPDX-License-Identifier: Apache-2.0
// [run]: folder and device.
#pragma once

#include <cstdint>
#include <string>

namespace tl {

struct ConfigSection;

struct RunSettings {
  std::string dir;
  std::string device = "auto";
  bool deterministic = false;
  int threads = 0;         // per rank; 0: the cores of the host over its ranks
  int64_t stop_after = 0;  // 0: at [train] steps
  std::string init_from;   // weights only
  int64_t log_every = 1;
  int64_t watchdog_seconds = 600;  // without progress, then a rank ends the job; 0: never
  bool operator==(const RunSettings&) const = default;
};

ConfigSection RunSection();

}  // namespace tl
