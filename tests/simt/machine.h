// SPDX-License-Identifier: Apache-2.0
// The inside of the machine. One OS thread runs everything: the kernel's threads are fibers, blocks
// run one after the other. Whoever waits hands over to the next fiber that can run.
#pragma once

#include <cuda_runtime.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "tests/simt/control.h"

namespace tl::simt {

inline constexpr int kWarp = 32;
inline constexpr int kMaxThreads = 1024;
inline constexpr int kMaxWarps = kMaxThreads / kWarp;
inline constexpr int kBarriers = 16;
inline constexpr size_t kMaxShared = 163 << 10;

struct Copy {
  std::byte* to;
  const std::byte* from;  // null: zeros
};

struct Thread {
  void* stack_pointer = nullptr;
  uint3 index;
  int linear = 0;
  bool exited = false;
  const char* waits_for = nullptr;        // null: it can run
  void* site = nullptr;                   // the code that waits
  std::vector<std::vector<Copy>> copies;  // cp.async in flight, the last group is open
  const int* flag = nullptr;              // the last one read, what it held, and how often in a row
  int flag_value = 0;
  int spins = 0;
  int warp() const { return linear / kWarp; }
  int lane() const { return linear % kWarp; }
};

// The lanes that meet in one operation of a warp.
struct Meeting {
  const char* name = nullptr;
  uint32_t mask = 0;
  uint32_t arrived = 0;
  std::array<void*, kWarp> operand{};
};

struct Warp {
  uint32_t exists = 0;
  uint32_t runnable = 0;
  uint32_t exited = 0;
  std::vector<Meeting> meetings;
};

struct Barrier {
  int arrived = 0;
  int expected = 0;
  std::vector<int> threads;
};

// A launch.
struct Grid {
  void* kernel;
  void (*call)(void* kernel, const std::byte* arguments);
  dim3 blocks, threads;
  size_t shared_bytes;  // dynamic
  int device;
  std::vector<std::byte> arguments;
};

struct Block {
  void* kernel = nullptr;
  void (*call)(void* kernel, const std::byte* arguments) = nullptr;
  const std::vector<std::byte>* arguments = nullptr;
  uint3 index, shape, grid;
  size_t shared_bytes = 0;
  int device = 0;
  int threads = 0, warps = 0, alive = 0;
  std::array<Thread, kMaxThreads> thread;
  std::array<Warp, kMaxWarps> warp;
  std::array<Barrier, kBarriers> barrier;
};

// The thread that runs now; null outside kernels.
extern Thread* g_thread;
extern Block g_block;

// Runs a kernel to its end, or to a report that ends it.
void RunGrid(const Grid& work);

// Waits until every lane of mask has called it; the last runs action, which sees the operands.
void Meet(const char* name, uint32_t mask, void* operand, void* site,
          const std::function<void(Meeting&)>& action);

// Reports, and drops the kernel: does not return to it.
[[noreturn]] void Fail(const std::string& text, void* site);
// Reports what the thread did wrong and lets it go on.
void Complain(const std::string& text, void* site);
void Report(const std::string& text);
[[noreturn]] void DropKernel();

std::string Describe(const Thread& thread);
std::string Where(void* code);  // "Function file:line"

Order CurrentOrder();
uint64_t Random();  // seeded

// Shared memory and its shadow: who wrote and read last, and when.
bool IsShared(const void* address);
void ResetShared(size_t bytes);
enum class Access { kRead, kWrite, kAtomic };
void CheckAccess(const void* address, size_t bytes, Access access, void* site);
void MarkInFlight(const void* address, size_t bytes, void* site);
void MarkLanded(const void* address, size_t bytes);
// Everything that these threads did comes before everything that they will do.
void OrderWarp(int warp, uint32_t mask);
void OrderWarps(uint32_t warps);
// Counts a __shared__ array, of which the running kernel touches the byte at this offset of the
// program's thread-local storage, as the kernel's: it may be another function's that the kernel
// calls.
void CountStatic(size_t offset, void* site);

// For CountAccesses: the running thread's access; and all that a warp noted since it last met.
void NoteAccess(const void* address, size_t bytes, bool shared, void* site);
void CountWarp(int warp);

// Whether a RecordLaunches lives, and so nothing is to run; it takes what is given.
bool Recording();
bool Recorded(const RecordedLaunch& launch);
bool Recorded(const RecordedProduct& product);

// Device memory. Null where the address is not inside of an allocation.
struct Allocation {
  std::byte* data;
  size_t bytes;
  bool pinned_host;
  int device = 0;
};
const Allocation* FindAllocation(const void* address);
bool IsDeviceRegion(const void* address);
bool IsStack(const void* address, const Thread& thread);
bool IsAnyStack(const void* address);

}  // namespace tl::simt
