// The host a rank runs on, and the rank's share of it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "comm/communicator.h"

namespace tl {

struct CpuInfo {
  std::string model;             // "AMD EPYC 9654 96-Core Processor"
  int logical_cpus = 1;          // that this process may run on
  int cores = 1;                 // physical, that this process may run on
  std::vector<std::string> isa;  // of what matters here: "AVX2", "AVX-512", "AVX512-BF16", "AMX"...
  bool bf16_products = false;    // in hardware: AVX512-BF16 or AMX
};
CpuInfo ReadCpuInfo();
std::string Describe(const CpuInfo& cpu);  // "CPU, MODEL (AVX-512, AMX)"

struct MemoryInfo {
  int64_t total = 0;      // of the host, or of the container where that is less; 0: unknown
  int64_t available = 0;  // without swapping
};
MemoryInfo ReadMemoryInfo();

struct Placement {
  int threads = 1;      // of this rank
  int local_ranks = 1;  // on this host
  int hosts = 1;
};

// Finds out where the ranks are and sets this rank's number of OpenMP threads: `threads` where
// that is not 0, else OMP_NUM_THREADS where set, else the physical cores that this rank may run on,
// each divided by the number of ranks that may (so bound and unbound ranks both get their share),
// within the container's CPU quota. Call before the first parallel region. Collective.
Placement PlaceRank(int threads, Communicator& world);

}  // namespace tl
