// SPDX-License-Identifier: Apache-2.0
#include "base/cgroup.h"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string_view>
#include <utility>
#include <vector>

namespace tl {
namespace {

// A hierarchy of groups that is mounted here.
struct Mount {
  bool v2 = false;
  std::string group;        // the group that its mount point shows, as in "/docker/4f0c"
  std::string at;           // the mount point
  std::string controllers;  // of version 1: "rw,memory"
};

// The number that a file starts with; -1 where there is none ("max", or no such file).
double ReadNumber(const std::string& path) {
  std::ifstream file(path);
  double value = 0.0;
  return file >> value ? value : -1.0;
}

// The value of a key in a file of "key value" lines; 0 where it has none.
int64_t ReadKey(const std::string& path, std::string_view key) {
  std::ifstream file(path);
  std::string name;
  for (int64_t value = 0; file >> name >> value;) {
    if (name == key) return value;
  }
  return 0;
}

// Tells whether a list with commas holds the word.
bool Lists(const std::string& list, std::string_view word) {
  std::istringstream words(list);
  for (std::string each; std::getline(words, each, ',');) {
    if (each == word) return true;
  }
  return false;
}

// mountinfo writes blanks, tabs, line ends and backslashes of paths as \ooo.
std::string Unescape(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto digit = [&](size_t k) { return text[k] >= '0' && text[k] <= '7'; };
    if (text[i] == '\\' && i + 3 < text.size() && digit(i + 1) && digit(i + 2) && digit(i + 3)) {
      out +=
          static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + text[i + 3] - '0');
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

std::vector<Mount> ReadMounts(const std::string& root) {
  std::vector<Mount> mounts;
  std::ifstream file(root + "/proc/self/mountinfo");
  for (std::string line; std::getline(file, line);) {
    // ID parent major:minor group mount-point options [tags...] - type source options
    std::istringstream words(line);
    std::string skipped, group, at, type, source, options;
    words >> skipped >> skipped >> skipped >> group >> at;
    while (words >> skipped && skipped != "-") {
    }
    words >> type >> source >> options;
    if (type == "cgroup2" || type == "cgroup")
      mounts.push_back({type == "cgroup2", Unescape(group), Unescape(at), options});
  }
  return mounts;
}

// The folders of the process's group and of those above it, innermost first. `path` is the group's
// name in its hierarchy; what lies above the mount's own group cannot be seen from here.
std::vector<std::string> Levels(const std::string& root, const Mount& mount, std::string path) {
  // "/", and "/.." of a mount from outside of the namespace, are above everything.
  const bool whole = mount.group == "/" || mount.group.rfind("/..", 0) == 0;
  const std::string above = whole ? "" : mount.group;
  const bool below = path.rfind(above, 0) == 0 && path.rfind("/..", 0) != 0 &&
                     (path.size() == above.size() || path[above.size()] == '/');
  path = below ? path.substr(above.size()) : "";
  std::vector<std::string> levels;
  while (path.size() > 1) {
    levels.push_back(root + mount.at + path);
    path.resize(path.rfind('/'));
  }
  levels.push_back(root + mount.at);
  return levels;
}

void LimitMemory(CgroupLimits& limits, double limit, double used, int64_t droppable) {
  // Version 1 writes "none" as a number near 2^63.
  if (limit < 0.0 || limit >= 9e18 || used < 0.0) return;
  const double free = limit - used + static_cast<double>(droppable);
  limits.free_memory = std::min(limits.free_memory,
                                static_cast<int64_t>(std::clamp(free, 1.0, std::max(1.0, limit))));
}

void LimitCpus(CgroupLimits& limits, double quota, double period) {
  if (quota > 0.0 && period > 0.0) limits.cpus = std::min(limits.cpus, quota / period);
}

}  // namespace

CgroupLimits ReadCgroupLimits(const std::string& root) {
  CgroupLimits limits;
  const std::vector<Mount> mounts = ReadMounts(root);
  std::ifstream file(root + "/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    // number:controllers:group; version 2 has number 0 and no controllers.
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const bool v2 = controllers.empty();
    const bool memory = v2 || Lists(controllers, "memory"), cpu = v2 || Lists(controllers, "cpu");
    for (const Mount& mount : mounts) {
      if (mount.v2 != v2) continue;
      const bool has_memory = memory && (v2 || Lists(mount.controllers, "memory"));
      const bool has_cpu = cpu && (v2 || Lists(mount.controllers, "cpu"));
      if (!has_memory && !has_cpu) continue;
      for (const std::string& at : Levels(root, mount, line.substr(second + 1))) {
        if (has_memory && v2) {
          LimitMemory(limits, ReadNumber(at + "/memory.max"), ReadNumber(at + "/memory.current"),
                      ReadKey(at + "/memory.stat", "inactive_file"));
        } else if (has_memory) {
          LimitMemory(limits, ReadNumber(at + "/memory.limit_in_bytes"),
                      ReadNumber(at + "/memory.usage_in_bytes"),
                      ReadKey(at + "/memory.stat", "total_inactive_file"));
        }
        if (has_cpu && v2) {
          std::ifstream max(at + "/cpu.max");
          double quota = 0.0, period = 0.0;
          if (max >> quota >> period) LimitCpus(limits, quota, period);
        } else if (has_cpu) {
          LimitCpus(limits, ReadNumber(at + "/cpu.cfs_quota_us"),
                    ReadNumber(at + "/cpu.cfs_period_us"));
        }
      }
    }
  }
  return limits;
}

}  // namespace tl
