// SPDX-License-Identifier: Apache-2.0
#include "base/host_memory.h"

#include <sys/resource.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <string>

#include "absl/strings/str_format.h"
#include "base/cgroup.h"

namespace tl {

int64_t AvailableMemory() {
  std::ifstream meminfo("/proc/meminfo");
  std::string key;
  int64_t available = 0;
  while (meminfo >> key) {
    int64_t kib = 0;
    if (key == "MemAvailable:" && meminfo >> kib) available = kib * 1024;
    std::getline(meminfo, key);
  }
  return available == 0 ? 0 : std::min(available, ReadCgroupLimits().free_memory);
}

int64_t PeakResidentMemory() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return int64_t{usage.ru_maxrss} * 1024;
}

std::string HumanBytes(int64_t bytes) {
  constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  if (bytes < 1024) return std::to_string(bytes) + " B";
  auto n = static_cast<double>(bytes);
  size_t unit = 0;
  while (n >= 1023.5 && unit + 1 < std::size(kUnits)) {
    n /= 1024.0;
    ++unit;
  }
  return absl::StrFormat("%.*f %s", n >= 100 ? 0 : n >= 10 ? 1 : 2, n, kUnits[unit]);
}

}  // namespace tl
