// SPDX-License-Identifier: Apache-2.0
// The processors a rank runs on, and its share of them.
#pragma once

#include <string>
#include <vector>

#include "comm/communicator.h"

namespace tl {

struct CpuInfo {
  std::string model;             // "AMD EPYC 9654 96-Core Processor"
  int logical_cpus = 1;          // that this process may run on
  int cores = 1;                 // physical, that this process may run on
  std::vector<std::string> isa;  // of what matters here: "AVX2", "AVX-512", "AMX-BF16", ...
};
CpuInfo ReadCpuInfo();
std::string Describe(const CpuInfo& cpu);  // "CPU, MODEL (AVX2, AVX-512)"

// The threads that a value of OMP_NUM_THREADS asks for: its first number where it is a list, as in
// "8,2". 0 where that is no number from 1 to 1024.
int ThreadsAskedFor(const std::string& value);

// Sets the number of OpenMP threads, the same on all ranks, and returns it: the fewest that a rank
// has by `threads` where that is not 0, else by OMP_NUM_THREADS where it is a number, else by its
// share of the physical cores that the ranks of its host may run on, within the CPU quotas of its
// control groups. Warns of an OMP_NUM_THREADS that is none. Call before the first parallel region.
// Collective.
int SetThreads(int threads, Communicator& world);

}  // namespace tl
