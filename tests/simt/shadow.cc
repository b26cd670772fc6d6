// SPDX-License-Identifier: Apache-2.0
// Shared memory: dynamic in one arena, static in the thread-local storage of this program, and a
// shadow cell for every two bytes of both, which knows the last write and the last two reads.
#include <link.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <type_traits>

#include "tests/simt/machine.h"

namespace tl::simt {
namespace {

constexpr size_t kArena = 512 << 10;
constexpr size_t kOffset = 64 << 10;  // of the block's memory in the arena
constexpr size_t kCell = 2;

struct Cell {
  uint32_t write_time = 0;
  uint32_t read_time[2] = {0, 0};
  uint16_t writer = 0;
  uint16_t reader[2] = {0, 0};
  bool in_flight = false;
  bool atomic = false;
  bool operator==(const Cell& x) const { return std::memcmp(this, &x, sizeof(Cell)) == 0; }
};
static_assert(std::has_unique_object_representations_v<Cell>);

struct Range {
  std::byte* begin = nullptr;
  size_t bytes = 0;
  std::vector<Cell> cells;
  bool Has(const void* p) const { return static_cast<size_t>(Offset(p)) < bytes; }
  ptrdiff_t Offset(const void* p) const { return static_cast<const std::byte*>(p) - begin; }
};

struct Shadow {
  Range arena, statics;
  size_t dynamic_bytes = 0;
  // Time passes at barriers only. A cell older than the block was not written in it.
  uint32_t now = 1, block_start = 1;
  // What warp w did up to warps[v][w] comes before what v does now; lanes likewise within a warp.
  std::array<std::array<uint32_t, kMaxWarps>, kMaxWarps> warps;
  std::array<std::array<std::array<uint32_t, kWarp>, kWarp>, kMaxWarps> lanes;

  Shadow() {
    void* memory =
        mmap(nullptr, kArena, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) std::abort();
    arena.begin = static_cast<std::byte*>(memory);
    arena.bytes = kArena;
    dl_iterate_phdr(
        [](dl_phdr_info* info, size_t, void* out) {
          auto* range = static_cast<Range*>(out);
          for (int i = 0; i < info->dlpi_phnum; ++i) {
            if (info->dlpi_phdr[i].p_type != PT_TLS || info->dlpi_tls_data == nullptr) continue;
            range->begin = static_cast<std::byte*>(info->dlpi_tls_data);
            range->bytes = info->dlpi_phdr[i].p_memsz;
          }
          return 1;  // the program itself comes first
        },
        &statics);
    arena.cells.resize(arena.bytes / kCell);
    statics.cells.resize(statics.bytes / kCell + 1);
  }
};

Shadow& S() {
  static auto* shadow = new Shadow;
  return *shadow;
}

bool Before(uint32_t time, int other) {
  const int self = g_thread->linear;
  if (other == self || time < S().block_start) return true;
  const int w = self / kWarp, v = other / kWarp;
  return time <= (w == v ? S().lanes[w][self % kWarp][other % kWarp] : S().warps[w][v]);
}

void Race(const char* what, int other, void* site) {
  Complain(std::string("race: ") + what + " of thread " + std::to_string(other) +
               " in shared memory with no barrier between",
           site);
}

void CheckCell(Cell& cell, Access access, void* site) {
  const Shadow& s = S();
  const auto self = static_cast<uint16_t>(g_thread->linear);
  const bool written = cell.write_time >= s.block_start;
  if (written && cell.in_flight)
    Complain(std::string(access == Access::kRead ? "reads" : "writes") +
                 " shared memory where a cp.async is in flight",
             site);
  if (!written && access != Access::kWrite)
    Complain("uninitialised: reads shared memory that this block never wrote", site);
  if (written && !(cell.atomic && access == Access::kAtomic) &&
      !Before(cell.write_time, cell.writer))
    Race(access == Access::kRead ? "read after a write" : "write after a write", cell.writer, site);
  if (access == Access::kRead) {
    const int slot =
        cell.read_time[0] < s.block_start || Before(cell.read_time[0], cell.reader[0]) ? 0 : 1;
    cell.read_time[slot] = s.now;
    cell.reader[slot] = self;
    return;
  }
  for (int i = 0; i < 2; ++i)
    if (cell.read_time[i] >= s.block_start && !Before(cell.read_time[i], cell.reader[i]))
      Race("write after a read", cell.reader[i], site);
  cell.write_time = s.now;
  cell.writer = self;
  cell.atomic = access == Access::kAtomic;
}

template <class F>
void ForCells(const void* address, size_t bytes, void* site, F&& f) {
  Shadow& s = S();
  if (s.arena.Has(address)) {
    const size_t offset = s.arena.Offset(address);
    if (offset < kOffset || offset + bytes > kOffset + s.dynamic_bytes)
      Fail("out of bounds: " + std::to_string(bytes) + " bytes at byte " +
               std::to_string(static_cast<ptrdiff_t>(offset) - static_cast<ptrdiff_t>(kOffset)) +
               " of " + std::to_string(s.dynamic_bytes) + " of dynamic shared memory",
           site);
  }
  Range& range = s.arena.Has(address) ? s.arena : s.statics;
  const size_t begin = range.Offset(address);
  for (size_t i = begin / kCell; i <= (begin + bytes - 1) / kCell; ++i) f(range.cells[i]);
}

}  // namespace

void* DynamicShared() { return S().arena.begin + kOffset; }

bool IsShared(const void* address) { return S().arena.Has(address) || S().statics.Has(address); }

void ResetShared(size_t bytes) {
  Shadow& s = S();
  s.dynamic_bytes = bytes;
  std::memset(s.arena.begin + kOffset, 0xff, bytes);
  if (s.now > 0xf0000000u) {
    std::fill(s.arena.cells.begin(), s.arena.cells.end(), Cell{});
    std::fill(s.statics.cells.begin(), s.statics.cells.end(), Cell{});
    s.now = 0;
  }
  s.block_start = ++s.now;
  for (int w = 0; w < g_block.warps; ++w) {
    s.warps[w].fill(0);
    for (auto& row : s.lanes[w]) row.fill(0);
  }
}

void CheckShared(const void* address, size_t bytes, Access access, void* site) {
  if (S().statics.Has(address)) CountStatic(S().statics.Offset(address), site);
  // Most accesses find their cells alike: what the first became holds for the others.
  Cell before, after;
  bool first = true;
  ForCells(address, bytes, site, [&](Cell& cell) {
    if (!first && cell == before) {
      cell = after;
      return;
    }
    first = false;
    before = cell;
    CheckCell(cell, access, site);
    after = cell;
  });
}

void MarkInFlight(const void* address, size_t bytes, void* site) {
  ForCells(address, bytes, site, [&](Cell& cell) {
    CheckCell(cell, Access::kWrite, site);
    cell.in_flight = true;
  });
}

// The copy becomes a write of the thread that waited for it, at the time of its wait.
void MarkLanded(const void* address, size_t bytes) {
  ForCells(address, bytes, nullptr, [&](Cell& cell) {
    cell.in_flight = false;
    cell.write_time = S().now;
    cell.writer = static_cast<uint16_t>(g_thread->linear);
  });
}

void OrderWarp(int warp, uint32_t mask) {
  Shadow& s = S();
  auto& rows = s.lanes[warp];
  std::array<uint32_t, kWarp> known{};
  for (int lane = 0; lane < kWarp; ++lane) {
    if ((mask >> lane & 1) == 0) continue;
    for (int other = 0; other < kWarp; ++other)
      known[other] = std::max(known[other], rows[lane][other]);
    known[lane] = s.now;
  }
  for (int lane = 0; lane < kWarp; ++lane)
    if (mask >> lane & 1) rows[lane] = known;
  ++s.now;
}

void OrderWarps(uint32_t warps) {
  Shadow& s = S();
  std::array<uint32_t, kMaxWarps> known{};
  for (int w = 0; w < kMaxWarps; ++w) {
    if ((warps >> w & 1) == 0) continue;
    for (int v = 0; v < kMaxWarps; ++v) known[v] = std::max(known[v], s.warps[w][v]);
    known[w] = s.now;
  }
  for (int w = 0; w < kMaxWarps; ++w) {
    if ((warps >> w & 1) == 0) continue;
    s.warps[w] = known;
    for (auto& row : s.lanes[w]) row.fill(s.now);
  }
  ++s.now;
}

}  // namespace tl::simt
