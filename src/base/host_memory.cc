#include "base/host_memory.h"

#include <sys/resource.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <string>

#include "absl/strings/str_format.h"

namespace tl {
namespace {

// The number in a one-number file, or -1 ("max", or no such file).
int64_t ReadNumber(const char* path) {
  std::ifstream file(path);
  int64_t value = -1;
  return file >> value ? value : -1;
}

}  // namespace

int64_t AvailableMemory() {
  std::ifstream meminfo("/proc/meminfo");
  std::string key;
  int64_t available = 0;
  while (meminfo >> key) {
    int64_t kib = 0;
    if (key == "MemAvailable:" && meminfo >> kib) available = kib * 1024;
    std::getline(meminfo, key);
  }
  const int64_t limit = ReadNumber("/sys/fs/cgroup/memory.max");
  const int64_t current = ReadNumber("/sys/fs/cgroup/memory.current");
  if (limit > 0 && current >= 0)
    available = std::min(available, std::max<int64_t>(1, limit - current));
  return available;
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
