// SPDX-License-Identifier: Apache-2.0
// How a test steers the machine, and what it hears from it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace tl::simt {

// The order in which a block's threads, a grid's blocks and the streams' work run. Ascending and
// descending run a thread until it must wait; random also picks who goes next at every wait.
enum class Order { kAscending, kDescending, kRandom };

// From TL_SIMT_ORDER (ascending, descending, random) and TL_SIMT_SEED until set here.
void SetOrder(Order order, uint64_t seed = 1);

// How mma, and cuBLASLt's products of 16-bit numbers, are summed: rounded at every addition, or as
// tensor cores do (tensor_core.h). From TL_SIMT_MMA (round, truncate) until set here.
enum class MmaSums { kRounded, kTruncated };
void SetMmaSums(MmaSums sums);
MmaSums CurrentMmaSums();

// What a program has asked of the runtime so far.
struct Calls {
  int64_t waits = 0;        // of the host for a device that had work left
  int64_t allocations = 0;  // of device or pinned memory, made or freed
  int64_t events = 0;       // made or destroyed
  int64_t attributes = 0;   // of kernels, set or asked for
};
Calls& CallsSoFar();

// The devices that this process has started a context on, by cudaSetDevice or a first use.
std::vector<int> DevicesWithContext();

// While one lives, what the machine finds is kept in it. Otherwise it is printed and ends the
// process.
class CollectReports {
 public:
  CollectReports();
  ~CollectReports();
  CollectReports(const CollectReports&) = delete;
  CollectReports& operator=(const CollectReports&) = delete;

  const std::vector<std::string>& reports() const { return reports_; }
  // Whether a report contains the text.
  bool Has(const std::string& text) const;

 private:
  friend void Report(const std::string& text);
  std::vector<std::string> reports_;
  CollectReports* outer_;
};

// What the accesses of a kernel's warps cost the memories.
struct AccessCounts {
  int64_t shared_instructions = 0;
  int64_t bank_conflicts = 0;  // passes of shared memory beyond the first of each phase
  int64_t global_instructions = 0;
  int64_t global_sectors = 0;  // of 32 bytes, that were touched
  int64_t least_sectors = 0;   // that would have held the same bytes
};

// Counts while it lives: loads, stores, ldmatrix and cp.async, not atomics.
class CountAccesses {
 public:
  CountAccesses();
  ~CountAccesses();
  CountAccesses(const CountAccesses&) = delete;
  CountAccesses& operator=(const CountAccesses&) = delete;

  // Of all kernels whose names contain the text.
  AccessCounts Of(const std::string& kernel) const;

 private:
  friend void CountWarp(int warp);
  std::map<void*, AccessCounts> counts_;
  CountAccesses* outer_;
};

// A kernel's launch, and a product of cuBLASLt: d [m, n] of 4 or 2 bytes an element from factors of
// `factor_bytes`.
struct RecordedLaunch {
  void* kernel = nullptr;
  int64_t blocks = 0;
  int threads = 0;          // of a block
  size_t shared_bytes = 0;  // dynamic
};
struct RecordedProduct {
  int64_t m = 0, n = 0, k = 0;
  int64_t factor_bytes = 0, sum_bytes = 0;
  bool adds = false;  // to what d holds
};

// While one lives, kernels, products, copies and memsets are written down and not run, and device
// memory is not filled: shapes may be as large as a GPU's, values mean nothing.
class RecordLaunches {
 public:
  RecordLaunches();
  ~RecordLaunches();
  RecordLaunches(const RecordLaunches&) = delete;
  RecordLaunches& operator=(const RecordLaunches&) = delete;

  // Of all kernels whose names contain the text, in the order of their calls.
  std::vector<RecordedLaunch> Of(const std::string& kernel) const;
  const std::vector<RecordedProduct>& products() const { return products_; }

 private:
  friend bool Recorded(const RecordedLaunch& launch);
  friend bool Recorded(const RecordedProduct& product);
  std::vector<RecordedLaunch> launches_;
  std::vector<RecordedProduct> products_;
};

}  // namespace tl::simt
