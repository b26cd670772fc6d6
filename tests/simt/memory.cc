// SPDX-License-Identifier: Apache-2.0
// Device memory: one reserved region. An allocation ends where a page begins that cannot be
// touched, starts at a multiple of 256, and is full of NaNs.
#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <map>

#include "tests/simt/machine.h"
#include "tests/simt/memory.h"

namespace tl::simt {
namespace {

constexpr size_t kRegion = size_t{1} << 40;
constexpr size_t kPage = 4096;
constexpr size_t kAlignment = 256;

struct Region {
  std::byte* begin;
  size_t used = 0;
  std::map<int, size_t> allocated;  // by device
  std::map<const std::byte*, Allocation> allocations;
  std::vector<Allocation*> page;  // the allocation that has bytes in it
  Region() {
    void* memory =
        mmap(nullptr, kRegion, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) std::abort();
    begin = static_cast<std::byte*>(memory);
  }
};

Region& R() {
  static auto* region = new Region;
  return *region;
}

size_t Pages(size_t bytes) { return (bytes + kPage - 1) / kPage; }

}  // namespace

bool IsDeviceRegion(const void* address) {
  return static_cast<size_t>(static_cast<const std::byte*>(address) - R().begin) < kRegion;
}

const Allocation* FindAllocation(const void* address) {
  const size_t page = (static_cast<const std::byte*>(address) - R().begin) / kPage;
  const Allocation* found = page < R().page.size() ? R().page[page] : nullptr;
  if (found == nullptr || address < found->data || address >= found->data + found->bytes)
    return nullptr;
  return found;
}

size_t AllocatedBytes(int device) { return R().allocated[device]; }

void* AllocateDevice(size_t bytes, bool pinned_host, int device) {
  Region& r = R();
  if (bytes == 0) return nullptr;
  const size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  const size_t pages = Pages(rounded);
  if (r.used + (pages + 1) * kPage > kRegion) return nullptr;
  std::byte* const begin = r.begin + r.used;
  if (mprotect(begin, pages * kPage, PROT_READ | PROT_WRITE) != 0) return nullptr;
  std::byte* const data = begin + pages * kPage - rounded;
  if (!Recording() || pinned_host) std::memset(data, 0xff, rounded);
  Allocation& made = r.allocations[data] = {data, bytes, pinned_host, device};
  r.page.resize((r.used / kPage) + pages + 1, nullptr);
  for (size_t i = 0; i < pages; ++i) r.page[r.used / kPage + i] = &made;
  r.used += (pages + 1) * kPage;  // never used again once freed
  if (!pinned_host) r.allocated[device] += bytes;
  return data;
}

bool FreeDevice(void* data) {
  Region& r = R();
  const auto found = r.allocations.find(static_cast<std::byte*>(data));
  if (found == r.allocations.end()) return false;
  const size_t pages = Pages(found->second.bytes + kAlignment - 1) + 1;
  auto* const begin =
      reinterpret_cast<std::byte*>(reinterpret_cast<uintptr_t>(data) & ~(kPage - 1));
  const size_t first = (begin - r.begin) / kPage;
  size_t count = 0;
  while (count < pages && r.page[first + count] == &found->second)
    r.page[first + count++] = nullptr;
  mprotect(begin, count * kPage, PROT_NONE);
  madvise(begin, count * kPage, MADV_DONTNEED);
  const Allocation& freed = found->second;
  if (!freed.pinned_host) r.allocated[freed.device] -= freed.bytes;
  r.allocations.erase(found);
  return true;
}

}  // namespace tl::simt
