// SPDX-License-Identifier: Apache-2.0
// What control groups allow this process: the tightest limit of its own group and of those above
// it, in version 2 and in version 1. SLURM, container runtimes and systemd nest groups, and set
// limits at any level.
#pragma once

#include <cstdint>
#include <limits>
#include <string>

namespace tl {

struct CgroupLimits {
  static constexpr int64_t kNoBytes = std::numeric_limits<int64_t>::max();
  static constexpr double kNoCpus = std::numeric_limits<double>::infinity();
  // Bytes that may still be allocated; files' cached pages that the kernel can drop count as free.
  int64_t free_memory = kNoBytes;
  double cpus = kNoCpus;  // CPUs' worth of time
};

// Reads /proc/self/cgroup, /proc/self/mountinfo and the groups' files below `root` (for tests).
CgroupLimits ReadCgroupLimits(const std::string& root = "");

}  // namespace tl
