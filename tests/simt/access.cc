// SPDX-License-Identifier: Apache-2.0
// Every load and store of a kernel: g++ -fsanitize=thread calls these functions before each, and
// -fsanitize=alignment and bounds call theirs where a check fails. Neither sanitizer's library is
// linked.
#include <cstdint>
#include <cstring>

#include "tests/simt/machine.h"
#include "tests/simt/ptx.h"

extern char __executable_start;
extern char _end;

namespace tl::simt {

void CheckShared(const void* address, size_t bytes, Access access, void* site);

namespace {

// The program's constants and the kernel's arguments.
bool IsConstant(const void* address) {
  const auto* a = static_cast<const char*>(address);
  const auto* arguments = reinterpret_cast<const char*>(g_block.arguments->data());
  return (a >= &__executable_start && a < &_end) ||
         (a >= arguments && a < arguments + g_block.arguments->size());
}

}  // namespace

void CheckGlobal(const void* address, size_t bytes, void* site) {
  const Allocation* allocation = FindAllocation(address);
  if (allocation == nullptr)
    Fail("out of bounds: " + std::to_string(bytes) +
             " bytes of device memory outside of every "
             "allocation",
         site);
  if (!allocation->pinned_host && allocation->device != g_block.device)
    Fail("touches memory of device " + std::to_string(allocation->device) + " from device " +
             std::to_string(g_block.device) + ", which has no access to it",
         site);
  const auto offset = static_cast<const std::byte*>(address) - allocation->data;
  if (offset + bytes > allocation->bytes)
    Fail("out of bounds: " + std::to_string(bytes) + " bytes at byte " + std::to_string(offset) +
             " of an allocation of " + std::to_string(allocation->bytes),
         site);
}

void CheckAccess(const void* address, size_t bytes, Access access, void* site) {
  if (g_thread == nullptr || IsStack(address, *g_thread)) return;
  const bool shared = IsShared(address);
  if (access != Access::kAtomic && (shared || IsDeviceRegion(address)))
    NoteAccess(address, bytes, shared, site);
  if (shared) {
    CheckShared(address, bytes, access, site);
  } else if (IsDeviceRegion(address)) {
    CheckGlobal(address, bytes, site);
  } else if (IsAnyStack(address)) {
    Fail("touches another thread's local memory", site);
  } else if (access != Access::kRead || !IsConstant(address)) {
    Fail("touches memory of the host", site);
  } else {
    return;
  }
  const uintptr_t natural = bytes == 2 || bytes == 4 || bytes == 8 || bytes == 16 ? bytes : 1;
  if (reinterpret_cast<uintptr_t>(address) % natural != 0)
    Fail("misaligned: " + std::to_string(bytes) + " bytes at an address that is no multiple", site);
}

}  // namespace tl::simt

namespace {

using tl::simt::Access;
using tl::simt::CheckAccess;

struct SourceLocation {
  const char* file;
  uint32_t line;
  uint32_t column;
};

}  // namespace

#define TL_HOOK(name, bytes, access) \
  void name(void* p) { CheckAccess(p, bytes, access, __builtin_return_address(0)); }
#define TL_HOOKS(bytes)                                                \
  TL_HOOK(__tsan_read##bytes, bytes, Access::kRead)                    \
  TL_HOOK(__tsan_write##bytes, bytes, Access::kWrite)                  \
  TL_HOOK(__tsan_volatile_read##bytes, bytes, Access::kRead)           \
  TL_HOOK(__tsan_volatile_write##bytes, bytes, Access::kWrite)         \
  TL_HOOK(__tsan_unaligned_read##bytes, bytes, Access::kRead)          \
  TL_HOOK(__tsan_unaligned_write##bytes, bytes, Access::kWrite)        \
  TL_HOOK(__tsan_unaligned_volatile_read##bytes, bytes, Access::kRead) \
  TL_HOOK(__tsan_unaligned_volatile_write##bytes, bytes, Access::kWrite)

// The host's own atomics in these sources, launchers' statics for one.
#define TL_ATOMICS(bits, T)                                                                 \
  T __tsan_atomic##bits##_load(const volatile T* p, int) {                                  \
    return __atomic_load_n(p, __ATOMIC_SEQ_CST);                                            \
  }                                                                                         \
  void __tsan_atomic##bits##_store(volatile T* p, T v, int) {                               \
    __atomic_store_n(p, v, __ATOMIC_SEQ_CST);                                               \
  }                                                                                         \
  T __tsan_atomic##bits##_exchange(volatile T* p, T v, int) {                               \
    return __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST);                                     \
  }                                                                                         \
  T __tsan_atomic##bits##_fetch_add(volatile T* p, T v, int) {                              \
    return __atomic_fetch_add(p, v, __ATOMIC_SEQ_CST);                                      \
  }                                                                                         \
  T __tsan_atomic##bits##_fetch_sub(volatile T* p, T v, int) {                              \
    return __atomic_fetch_sub(p, v, __ATOMIC_SEQ_CST);                                      \
  }                                                                                         \
  int __tsan_atomic##bits##_compare_exchange_strong(volatile T* p, T* c, T v, int, int) {   \
    return __atomic_compare_exchange_n(p, c, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \
  }

extern "C" {

void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}

TL_HOOKS(1)
TL_HOOKS(2)
TL_HOOKS(4)
TL_HOOKS(8)
TL_HOOKS(16)
void __tsan_read_range(void* p, size_t bytes) {
  CheckAccess(p, bytes, Access::kRead, __builtin_return_address(0));
}
void __tsan_write_range(void* p, size_t bytes) {
  CheckAccess(p, bytes, Access::kWrite, __builtin_return_address(0));
}

TL_ATOMICS(8, uint8_t)
TL_ATOMICS(32, uint32_t)
TL_ATOMICS(64, uint64_t)

void __ubsan_handle_type_mismatch_v1(SourceLocation*, void* address) {
  if (tl::simt::g_thread == nullptr || tl::simt::IsStack(address, *tl::simt::g_thread)) return;
  tl::simt::Fail("misaligned: an access at an address that is no multiple of its type's alignment",
                 __builtin_return_address(0));
}

void __ubsan_handle_out_of_bounds(void*, void*) {
  if (tl::simt::g_thread == nullptr) return;
  tl::simt::Fail("out of bounds: an index past the end of an array", __builtin_return_address(0));
}

}  // extern "C"

namespace tl::cuda::ptx {

using namespace tl::simt;

void CpAsync16(void* shared, const void* global, bool valid) {
  void* const site = __builtin_return_address(0);
  if (!IsShared(shared)) Fail("cp.async to memory that is not shared", site);
  if (reinterpret_cast<uintptr_t>(shared) % 16 != 0 ||
      reinterpret_cast<uintptr_t>(global) % 16 != 0)
    Fail("misaligned: cp.async of 16 bytes between addresses that are no multiples of 16", site);
  if (valid) {
    if (!IsDeviceRegion(global)) Fail("cp.async from memory that is not the device's", site);
    CheckGlobal(global, 16, site);
  }
  MarkInFlight(shared, 16, site);
  NoteAccess(shared, 16, true, site);
  // The same instruction's other half, under a name of its own.
  if (valid) NoteAccess(global, 16, false, static_cast<std::byte*>(site) + 1);
  // Lands as late as it may; until then whoever reads finds NaNs.
  std::memset(shared, 0xff, 16);
  const auto* from = valid ? static_cast<const std::byte*>(global) : nullptr;
  g_thread->copies.back().push_back({static_cast<std::byte*>(shared), from});
}

int LoadAcquire(const int* flag) {
  constexpr int kPatience = 1000;
  void* const site = __builtin_return_address(0);
  CheckAccess(flag, sizeof(int), Access::kRead, site);
  Thread& t = *g_thread;
  t.spins = t.flag == flag && t.flag_value == *flag ? t.spins + 1 : 0;
  t.flag = flag;
  t.flag_value = *flag;
  if (t.spins > kPatience)
    Fail("waits for a flag that no one will set, found " + std::to_string(*flag), site);
  return *flag;
}
void StoreRelease(int* flag, int value) {
  CheckAccess(flag, sizeof(int), Access::kWrite, __builtin_return_address(0));
  *flag = value;
}

void CpAsyncCommit() { g_thread->copies.emplace_back(); }

void CpAsyncWaitGroups(int left_in_flight) {
  auto& groups = g_thread->copies;
  const int done = static_cast<int>(groups.size()) - 1 - left_in_flight;
  if (done <= 0) return;
  for (int i = 0; i < done; ++i) {
    for (const Copy& copy : groups[i]) {
      if (copy.from != nullptr) {
        std::memcpy(copy.to, copy.from, 16);
      } else {
        std::memset(copy.to, 0, 16);
      }
      MarkLanded(copy.to, 16);
    }
  }
  groups.erase(groups.begin(), groups.begin() + done);
}

}  // namespace tl::cuda::ptx
