#include "base/host_memory.h"

#include <sys/resource.h>

#include <algorithm>
#include <fstream>
#include <string>

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

}  // namespace tl
