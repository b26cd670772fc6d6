// SPDX-License-Identifier: Apache-2.0
#include "tests/simt/machine.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <numeric>

#include "tests/simt/fiber.h"

namespace tl::simt {

Thread* g_thread = nullptr;
Block g_block;

namespace {

void* g_scheduler = nullptr;  // the stack that started the block
bool g_dropped = false;

struct Setting {
  Order order = Order::kAscending;
  uint64_t state = 1;
  Setting() {
    if (const char* seed = std::getenv("TL_SIMT_SEED")) state = std::strtoull(seed, nullptr, 10);
    if (const char* name = std::getenv("TL_SIMT_ORDER")) {
      if (name == std::string("descending")) order = Order::kDescending;
      if (name == std::string("random")) order = Order::kRandom;
    }
  }
};

Setting& Settings() {
  static Setting setting;
  return setting;
}

// The set bit to run next, cyclic after `from`.
int PickBit(uint32_t bits, int from) {
  switch (CurrentOrder()) {
    case Order::kAscending: {
      const uint32_t later = from >= 31 ? 0 : bits & (~0u << (from + 1));
      return std::countr_zero(later != 0 ? later : bits);
    }
    case Order::kDescending: {
      const uint32_t earlier = bits & ((1u << from) - 1);
      return 31 - std::countl_zero(earlier != 0 ? earlier : bits);
    }
    case Order::kRandom: {
      for (uint64_t skip = Random() % std::popcount(bits); skip > 0; --skip) bits &= bits - 1;
      return std::countr_zero(bits);
    }
  }
  return 0;
}

// -1: nobody can run.
int PickThread(int warp, int lane) {
  const bool stay = CurrentOrder() != Order::kRandom || Random() % 8 != 0;
  if (stay && g_block.warp[warp].runnable != 0)
    return warp * kWarp + PickBit(g_block.warp[warp].runnable, lane);
  uint32_t warps = 0;
  for (int w = 0; w < g_block.warps; ++w)
    if (g_block.warp[w].runnable != 0) warps |= 1u << w;
  if (warps == 0) return -1;
  const int next = PickBit(warps, warp);
  const int from = CurrentOrder() == Order::kAscending ? 31 : 0;
  return next * kWarp + PickBit(g_block.warp[next].runnable, from);
}

void ReportStuck() {
  std::string text = "threads wait for others that never come:";
  const char* wait = nullptr;
  void* site = nullptr;
  int first = -1;
  auto flush = [&](int end) {
    if (first < 0) return;
    text += "\n  threads " + std::to_string(first) + " to " + std::to_string(end - 1) + ": ";
    text += wait == nullptr ? std::string("exited") : std::string(wait) + " at " + Where(site);
  };
  for (int i = 0; i < g_block.threads; ++i) {
    const Thread& t = g_block.thread[i];
    if (first < 0 || t.waits_for != wait || (wait != nullptr && t.site != site)) {
      flush(i);
      first = i;
      wait = t.exited ? nullptr : t.waits_for;
      site = t.site;
    }
  }
  flush(g_block.threads);
  g_thread = &g_block.thread[0];
  Complain(text, nullptr);
  DropKernel();
}

// Hands over to the next fiber; comes back when this one is picked again.
void Yield() {
  Thread* self = g_thread;
  const int next = PickThread(self->warp(), self->lane());
  if (next < 0) {
    if (g_block.alive > 0) ReportStuck();
    tl_simt_switch(&self->stack_pointer, g_scheduler);
    return;
  }
  if (next == self->linear) return;
  g_thread = &g_block.thread[next];
  tl_simt_switch(&self->stack_pointer, g_thread->stack_pointer);
}

void Suspend(const char* what, void* site) {
  Thread& t = *g_thread;
  t.waits_for = what;
  t.site = site;
  g_block.warp[t.warp()].runnable &= ~(1u << t.lane());
  Yield();
}

void Wake(int thread) {
  g_block.thread[thread].waits_for = nullptr;
  g_block.warp[thread / kWarp].runnable |= 1u << (thread % kWarp);
}

void RunThread() {
  g_block.call(g_block.kernel, g_block.arguments->data());
  Thread& t = *g_thread;
  bool in_flight = false;
  for (const auto& group : t.copies) in_flight |= !group.empty();
  if (in_flight)
    Complain("a thread ends with cp.async in flight that it never waited for", nullptr);
  t.exited = true;
  Warp& warp = g_block.warp[t.warp()];
  warp.runnable &= ~(1u << t.lane());
  warp.exited |= 1u << t.lane();
  --g_block.alive;
  Yield();
  std::abort();
}

void StartBlock(uint3 index) {
  Block& b = g_block;
  b.index = index;
  b.alive = b.threads;
  for (int w = 0; w < b.warps; ++w) {
    const int lanes = std::min(kWarp, b.threads - w * kWarp);
    const uint32_t exists = lanes == kWarp ? ~0u : (1u << lanes) - 1;
    b.warp[w].exists = b.warp[w].runnable = exists;
    b.warp[w].exited = 0;
    b.warp[w].meetings.clear();
  }
  for (Barrier& barrier : b.barrier) barrier = {};
  for (int i = 0; i < b.threads; ++i) {
    Thread& t = b.thread[i];
    t.stack_pointer = PrepareStack(StackTop(i), RunThread);
    t.linear = i;
    t.index = {i % b.shape.x, i / b.shape.x % b.shape.y, i / (b.shape.x * b.shape.y)};
    t.exited = false;
    t.waits_for = nullptr;
    t.flag = nullptr;
    t.copies.assign(1, {});
  }
  ResetShared(b.shared_bytes);
}

}  // namespace

void SetOrder(Order order, uint64_t seed) {
  Settings().order = order;
  Settings().state = seed;
}

Order CurrentOrder() { return Settings().order; }

// splitmix64
uint64_t Random() {
  uint64_t z = Settings().state += 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

void DropKernel() {
  g_dropped = true;
  g_thread = nullptr;
  void* lost;
  tl_simt_switch(&lost, g_scheduler);
  std::abort();
}

void RunGrid(const Grid& work) {
  const dim3 grid = work.blocks;
  Block& b = g_block;
  b.kernel = work.kernel;
  b.arguments = &work.arguments;
  b.call = work.call;
  b.shape = {work.threads.x, work.threads.y, work.threads.z};
  b.grid = {grid.x, grid.y, grid.z};
  b.threads = static_cast<int>(work.threads.x * work.threads.y * work.threads.z);
  b.warps = (b.threads + kWarp - 1) / kWarp;
  b.shared_bytes = work.shared_bytes;
  b.device = work.device;
  std::vector<uint32_t> order(size_t{grid.x} * grid.y * grid.z);
  std::iota(order.begin(), order.end(), 0u);
  if (CurrentOrder() == Order::kDescending) std::reverse(order.begin(), order.end());
  if (CurrentOrder() == Order::kRandom)
    for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[Random() % i]);
  g_dropped = false;
  for (uint32_t i : order) {
    StartBlock({i % grid.x, i / grid.x % grid.y, i / (grid.x * grid.y)});
    const bool last = CurrentOrder() == Order::kDescending;
    g_thread = &b.thread[PickThread(last ? b.warps - 1 : 0, last ? 0 : 31)];
    tl_simt_switch(&g_scheduler, g_thread->stack_pointer);
    g_thread = nullptr;
    if (g_dropped) return;
    for (int w = 0; w < b.warps; ++w) CountWarp(w);
  }
}

void Meet(const char* name, uint32_t mask, void* operand, void* site,
          const std::function<void(Meeting&)>& action) {
  Thread& t = *g_thread;
  Warp& warp = g_block.warp[t.warp()];
  const uint32_t self = 1u << t.lane();
  mask &= warp.exists;
  if ((mask & self) == 0)
    Fail(std::string(name) + " with a mask that leaves out the lane that calls it", site);
  if ((mask & warp.exited) != 0)
    Fail(std::string(name) + " with a mask that names a lane that has exited", site);
  auto meeting = std::find_if(warp.meetings.begin(), warp.meetings.end(),
                              [&](const Meeting& m) { return m.mask == mask; });
  if (meeting == warp.meetings.end()) {
    for (const Meeting& other : warp.meetings)
      if ((other.mask & mask) != 0)
        Fail(std::string(name) + " and " + other.name + " in one warp with different masks", site);
    meeting = warp.meetings.insert(warp.meetings.end(), Meeting{.name = name, .mask = mask});
  }
  if (meeting->name != name)
    Fail("divergence: lane " + std::to_string(t.lane()) + " is at " + name +
             " while others of its warp are at " + meeting->name,
         site);
  meeting->arrived |= self;
  meeting->operand[t.lane()] = operand;
  if (meeting->arrived != mask) return Suspend(name, site);
  if (mask == warp.exists) CountWarp(t.warp());
  Meeting complete = *meeting;
  warp.meetings.erase(meeting);
  action(complete);
  for (int lane = 0; lane < kWarp; ++lane)
    if ((mask & ~self) >> lane & 1) Wake(t.warp() * kWarp + lane);
}

namespace {

void Arrive(const char* name, int id, int expected, void* site) {
  Barrier& barrier = g_block.barrier[id];
  if (barrier.arrived == 0) barrier.expected = expected;
  if (barrier.expected != expected)
    Fail(std::string(name) + " " + std::to_string(id) + " for " + std::to_string(expected) +
             " threads, others wait there for " + std::to_string(barrier.expected),
         site);
  barrier.threads.push_back(g_thread->linear);
  if (++barrier.arrived < expected) return Suspend(name, site);
  std::array<int, kMaxWarps> lanes{};
  for (int i : barrier.threads) ++lanes[i / kWarp];
  uint32_t warps = 0;
  for (int w = 0; w < g_block.warps; ++w) {
    if (lanes[w] == 0) continue;
    if (lanes[w] != std::popcount(g_block.warp[w].exists))
      Fail(std::string(name) + " " + std::to_string(id) + " joins a part of a warp", site);
    warps |= 1u << w;
    CountWarp(w);
  }
  OrderWarps(warps);
  for (int i : barrier.threads)
    if (i != g_thread->linear) Wake(i);
  barrier = {};
}

}  // namespace

void SyncThreads() {
  if (g_block.alive != g_block.threads)
    Fail("__syncthreads after threads of the block have exited", __builtin_return_address(0));
  Arrive("__syncthreads", 0, g_block.threads, __builtin_return_address(0));
}

void BarrierSyncAt(int id, int threads, void* site) {
  if (id < 0 || id >= kBarriers || threads <= 0 || threads % kWarp != 0)
    Fail("bar.sync with id " + std::to_string(id) + " for " + std::to_string(threads) + " threads",
         site);
  Arrive("bar.sync", id, threads, site);
}

}  // namespace tl::simt

namespace tl::cuda::ptx {

void BarrierSync(int id, int threads) {
  simt::BarrierSyncAt(id, threads, __builtin_return_address(0));
}

}  // namespace tl::cuda::ptx
