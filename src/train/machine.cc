#include "train/machine.h"

#include <omp.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/philox.h"

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

// CPUs' worth of time that the container may use.
double CpuQuota() {
  constexpr double kNone = std::numeric_limits<double>::infinity();
  std::ifstream v2("/sys/fs/cgroup/cpu.max");
  double quota = 0.0, period = 0.0;
  if (v2 >> quota >> period && quota > 0.0 && period > 0.0) return quota / period;
  quota = ReadNumber("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", -1.0);
  period = ReadNumber("/sys/fs/cgroup/cpu/cpu.cfs_period_us", -1.0);
  return quota > 0.0 && period > 0.0 ? quota / period : kNone;
}

// What ranks tell each other: the host, and the physical cores that they may run on.
struct Card {
  static constexpr int kHostWords = 2;
  static constexpr int kWords = kHostWords + kMaxCpus / 32;
  std::array<int32_t, kWords> words{};

  bool SameHost(const Card& other) const {
    return std::equal(words.begin(), words.begin() + kHostWords, other.words.begin());
  }
  bool MayUse(int core) const {
    return (static_cast<uint32_t>(words[kHostWords + core / 32]) >> (core % 32) & 1u) != 0;
  }
};

Card MyCard(const std::set<int>& cores) {
  char name[256] = "";
  gethostname(name, sizeof(name) - 1);
  const uint64_t host = HashName(name, std::char_traits<char>::length(name), 0);
  Card card;
  card.words[0] = static_cast<int32_t>(host & 0xffffffffu);
  card.words[1] = static_cast<int32_t>(host >> 32);
  for (const int core : cores) {
    int32_t& word = card.words[Card::kHostWords + core / 32];
    word = static_cast<int32_t>(static_cast<uint32_t>(word) | 1u << (core % 32));
  }
  return card;
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
                                                            {"asimd", "NEON"},
                                                            {"sve", "SVE"},
                                                            {"bf16", "BF16"}};
  for (const auto& [flag, name] : kNames) {
    if (flags.count(flag) != 0) info.isa.emplace_back(name);
  }
  info.bf16_products = flags.count("avx512_bf16") + flags.count("amx_bf16") + flags.count("bf16");
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

MemoryInfo ReadMemoryInfo() {
  MemoryInfo info;
  std::ifstream file("/proc/meminfo");
  std::string key;
  for (int64_t kib = 0; file >> key >> kib;) {
    if (key == "MemTotal:") info.total = kib * 1024;
    if (key == "MemAvailable:") info.available = kib * 1024;
    file.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  }
  constexpr double kNone = std::numeric_limits<double>::infinity();
  const double limit = std::min(ReadNumber("/sys/fs/cgroup/memory.max", kNone),
                                ReadNumber("/sys/fs/cgroup/memory/memory.limit_in_bytes", kNone));
  const double used = ReadNumber("/sys/fs/cgroup/memory.current",
                                 ReadNumber("/sys/fs/cgroup/memory/memory.usage_in_bytes", 0.0));
  if (limit < static_cast<double>(info.total)) {
    info.total = static_cast<int64_t>(limit);
    info.available = std::min(info.available, static_cast<int64_t>(std::max(0.0, limit - used)));
  }
  return info;
}

Placement PlaceRank(int threads, Communicator& world) {
  const std::set<int> cores = CoresOf(AllowedCpus());
  const Card mine = MyCard(cores);
  std::vector<Card> cards(static_cast<size_t>(world.size()), mine);
  if (world.size() > 1) {
    Card sent = mine;
    Stream stream = Stream::Cpu();
    world.AllGather(stream, Tensor::Of(cards[0].words.data(), {world.size() * Card::kWords}),
                    Tensor::Of(sent.words.data(), {Card::kWords}));
    stream.Synchronize();
  }

  Placement placement;
  placement.local_ranks = static_cast<int>(std::count_if(
      cards.begin(), cards.end(), [&](const Card& card) { return card.SameHost(mine); }));
  placement.hosts = 0;
  for (size_t i = 0; i < cards.size(); ++i) {
    const auto first = std::find_if(cards.begin(), cards.end(),
                                    [&](const Card& card) { return card.SameHost(cards[i]); });
    if (first == cards.begin() + static_cast<std::ptrdiff_t>(i)) ++placement.hosts;
  }

  if (threads == 0 && getenv("OMP_NUM_THREADS") != nullptr) threads = omp_get_max_threads();
  if (threads == 0) {
    double share = 0.0;
    for (const int core : cores) {
      const auto users = std::count_if(cards.begin(), cards.end(), [&](const Card& card) {
        return card.SameHost(mine) && card.MayUse(core);
      });
      share += 1.0 / static_cast<double>(users);
    }
    share = std::min(share, CpuQuota() / placement.local_ranks);
    threads = std::max(1, static_cast<int>(std::floor(share + 1e-6)));
  }
  placement.threads = threads;
  omp_set_num_threads(threads);
  return placement;
}

}  // namespace tl
