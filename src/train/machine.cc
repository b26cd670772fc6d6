// SPDX-License-Identifier: Apache-2.0
#include "train/machine.h"

#include <omp.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/cgroup.h"
#include "base/logging.h"
#include "comm/host.h"
#include "train/signals.h"

namespace tl {
namespace {

constexpr int kMaxCpus = CPU_SETSIZE;

// The number a small system file starts with; `otherwise` where there is none ("max", no file).
double ReadNumber(const std::string& path, double otherwise) {
  std::ifstream file(path);
  double value = 0.0;
  return file >> value ? value : otherwise;
}

// The logical CPUs that this process may run on.
std::vector<int> AllowedCpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> cpus;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) {
    for (int cpu = 0; cpu < kMaxCpus; ++cpu) {
      if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
    }
  } else {  // A host with more CPUs than the set has bits.
    const int count =
        std::min<int>(kMaxCpus, static_cast<int>(std::thread::hardware_concurrency()));
    for (int cpu = 0; cpu < count; ++cpu) cpus.push_back(cpu);
  }
  if (cpus.empty()) cpus.push_back(0);
  return cpus;
}

// A physical core is named by its first logical CPU.
std::set<int> CoresOf(const std::vector<int>& cpus) {
  std::set<int> cores;
  for (const int cpu : cpus) {
    const std::string path =
        absl::StrCat("/sys/devices/system/cpu/cpu", cpu, "/topology/thread_siblings_list");
    const int core = static_cast<int>(ReadNumber(path, cpu));
    cores.insert(core >= 0 && core < kMaxCpus ? core : cpu);
  }
  return cores;
}

// Makes the threads of parallel regions, which take no signal that asks for a stop: those are for
// the main thread, which has a stack for them, see InstallStopSignals.
void MakeThreads(int threads) {
  sigset_t stops, before;
  sigemptyset(&stops);
  for (const int signal : kStopSignals) sigaddset(&stops, signal);
  pthread_sigmask(SIG_BLOCK, &stops, &before);
  std::atomic<int> made = 0;
#pragma omp parallel num_threads(threads)
  ++made;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

}  // namespace

CpuInfo ReadCpuInfo() {
  CpuInfo info;
  info.model = "unknown model";
  std::set<std::string> flags;
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const std::string key = line.substr(0, line.find_last_not_of(" \t", colon - 1) + 1);
    if (key == "model name" && colon + 2 < line.size()) info.model = line.substr(colon + 2);
    if ((key == "flags" || key == "Features") && flags.empty()) {
      std::istringstream words(line.substr(colon + 1));
      for (std::string word; words >> word;) flags.insert(word);
    }
  }
  constexpr std::pair<const char*, const char*> kNames[] = {{"avx2", "AVX2"},
                                                            {"avx512bw", "AVX-512"},
                                                            {"avx512_bf16", "AVX512-BF16"},
                                                            {"amx_bf16", "AMX-BF16"},
                                                            {"avx512_fp16", "AVX512-FP16"},
                                                            {"amx_fp16", "AMX-FP16"},
                                                            {"asimd", "NEON"},
                                                            {"sve", "SVE"},
                                                            {"bf16", "BF16"}};
  for (const auto& [flag, name] : kNames) {
    if (flags.count(flag) != 0) info.isa.emplace_back(name);
  }
  const std::vector<int> cpus = AllowedCpus();
  info.logical_cpus = static_cast<int>(cpus.size());
  info.cores = static_cast<int>(CoresOf(cpus).size());
  return info;
}

std::string Describe(const CpuInfo& cpu) {
  std::string text = "CPU, " + cpu.model;
  if (!cpu.isa.empty()) absl::StrAppend(&text, " (", absl::StrJoin(cpu.isa, ", "), ")");
  return text;
}

int ThreadsAskedFor(const std::string& value) {
  constexpr int kMost = 1024;
  int threads = 0;
  const std::string first = value.substr(0, value.find(','));
  return absl::SimpleAtoi(first, &threads) && threads >= 1 && threads <= kMost ? threads : 0;
}

int SetThreads(int threads, Communicator& world) {
  const int share = DefaultThreads(world);  // of logical CPUs
  const int local_ranks = LocalRanks(world);
  const char* const asked = std::getenv("OMP_NUM_THREADS");
  const bool looked_at = threads == 0 && asked != nullptr;
  if (looked_at) threads = ThreadsAskedFor(asked);
  const bool useless = looked_at && threads == 0;
  if (threads == 0) {
    // Two threads on one core would share the units that multiply matrices.
    const CpuInfo cpu = ReadCpuInfo();
    const double cores = static_cast<double>(share) * cpu.cores / cpu.logical_cpus;
    threads = std::max(
        1, static_cast<int>(std::min(cores, ReadCgroupLimits().cpus / local_ranks) + 1e-6));
  }
  // Ranks of a tensor group make the same sums of the same numbers, which depend on how many
  // threads make them; and all wait for the slowest anyway.
  Stream stream = Stream::Cpu();
  std::array<int32_t, 2> most = {-threads, useless ? 1 : 0};
  world.AllReduce(stream, Tensor::Of(most.data(), {2}), ReduceOp::kMax);
  threads = -most[0];
  if (most[1] != 0 && world.rank() == 0) {
    LogWarning(absl::StrCat(
        "OMP_NUM_THREADS", useless ? absl::StrCat(" is \"", asked, "\"") : " of a rank",
        ", expected a number of threads: its share of the cores instead, ", threads, " per rank"));
  }
  omp_set_num_threads(threads);
  MakeThreads(threads);
  return threads;
}

}  // namespace tl
