// SPDX-License-Identifier: Apache-2.0
// Copies and fills. Pageable memory is read or written at once, or as late as the stream comes to
// it: CUDA leaves open which, so a program may rely on neither.
#include <sys/mman.h>

#include <cstdint>
#include <cstring>
#include <list>

#include "tests/simt/driver.h"
#include "tests/simt/machine.h"
#include "tests/simt/runtime.h"

namespace tl::simt {

void WaitFor(cudaStream_t stream);

namespace {

struct PendingCopy {
  std::byte* to;
  const std::byte* from;
  size_t bytes;
  int device;  // the stream's
};

// Those that are queued.
std::list<PendingCopy>& Queued() {
  static auto* copies = new std::list<PendingCopy>;
  return *copies;
}

bool Overlap(const std::byte* a, size_t a_bytes, const std::byte* b, size_t b_bytes) {
  return a < b + b_bytes && b < a + a_bytes;
}

std::string Text(const PendingCopy& copy) {
  return "a copy of " + std::to_string(copy.bytes) + " bytes on a stream " + OfDevice(copy.device);
}

bool IsPageable(const void* p) { return !IsDeviceRegion(p); }
bool IsHost(const void* p) {
  const Allocation* a = FindAllocation(p);
  return IsPageable(p) || (a != nullptr && a->pinned_host);
}

// Whether the bytes lie inside of one allocation; pageable memory is not looked at.
bool CheckBytes(const std::string& what, const void* p, size_t bytes) {
  if (IsPageable(p) || bytes == 0) return true;
  const Allocation* a = FindAllocation(p);
  if (a == nullptr) {
    Report(what + " outside of every allocation");
    return false;
  }
  const size_t offset = static_cast<const std::byte*>(p) - a->data;
  if (offset + bytes <= a->bytes) return true;
  Report(what + ": out of bounds, bytes " + std::to_string(offset) + " to " +
         std::to_string(offset + bytes) + " of an allocation of " + std::to_string(a->bytes));
  return false;
}

// Pageable memory from the call to the copy. None of it may change until then, nor be unmapped.
class Pageable {
 public:
  Pageable(const std::byte* data, size_t bytes)
      : data_(data), before_(reinterpret_cast<const char*>(data), bytes) {}
  bool IsKept() const {
    constexpr uintptr_t kPage = 4096;
    const auto begin = reinterpret_cast<uintptr_t>(data_);
    const uintptr_t page = begin / kPage * kPage;
    return msync(reinterpret_cast<void*>(page), begin + before_.size() - page, MS_ASYNC) == 0 &&
           std::memcmp(data_, before_.data(), before_.size()) == 0;
  }

 private:
  const std::byte* data_;
  std::string before_;
};

bool AtOnce() {
  return CurrentOrder() == Order::kDescending ||
         (CurrentOrder() == Order::kRandom && Random() % 2 == 0);
}

void CopyAtLast(std::list<PendingCopy>::iterator queued) {
  const PendingCopy copy = *queued;
  Queued().erase(queued);
  if (CheckBytes(Text(copy) + " writes", copy.to, copy.bytes) &&
      CheckBytes(Text(copy) + " reads", copy.from, copy.bytes))
    std::memcpy(copy.to, copy.from, copy.bytes);
}

// Queues the copy between memory that is pinned or a device's, or pageable but there to the end.
void Queue(const PendingCopy& copy, cudaStream_t stream) {
  Queued().push_back(copy);
  Push(stream, {[queued = std::prev(Queued().end())] { CopyAtLast(queued); }, {}});
}

void QueueLate(const PendingCopy& copy, cudaStream_t stream) {
  const Pageable pageable(IsPageable(copy.from) ? copy.from : copy.to, copy.bytes);
  Queued().push_back(copy);
  Push(stream, {[queued = std::prev(Queued().end()), pageable] {
                  if (pageable.IsKept()) return CopyAtLast(queued);
                  const std::string text = Text(*queued);
                  const bool reads = IsPageable(queued->from);
                  Queued().erase(queued);
                  Report("pageable memory that " + text + (reads ? " reads" : " writes") +
                         " was changed or freed before the stream came to it");
                },
                {}});
}

cudaError_t CopyLater(void* to, const void* from, size_t bytes, cudaStream_t stream) {
  if (const cudaError_t error = CheckStream("a copy", stream); error != cudaSuccess) return error;
  if (bytes == 0) return cudaSuccess;
  const PendingCopy copy{static_cast<std::byte*>(to), static_cast<const std::byte*>(from), bytes,
                         DeviceOf(stream)};
  if (!CheckBytes("a copy writes", to, bytes) || !CheckBytes("a copy reads", from, bytes))
    return Set(cudaErrorInvalidValue);
  if (Recording()) return cudaSuccess;
  if (IsHost(to) && IsHost(from)) {
    Queue(copy, stream);
    WaitFor(stream);
  } else if (!IsPageable(to) && !IsPageable(from)) {
    Queue(copy, stream);
  } else if (!AtOnce()) {
    QueueLate(copy, stream);
  } else if (IsPageable(to)) {
    Queue(copy, stream);
    WaitFor(stream);
  } else {
    Push(stream, {[copy, staged = std::string(static_cast<const char*>(from), bytes)] {
                    if (CheckBytes(Text(copy) + " writes", copy.to, copy.bytes))
                      std::memcpy(copy.to, staged.data(), staged.size());
                  },
                  {}});
  }
  return cudaSuccess;
}

cudaError_t FillLater(void* to, int value, size_t bytes, cudaStream_t stream) {
  if (const cudaError_t error = CheckStream("a memset", stream); error != cudaSuccess) return error;
  if (bytes == 0) return cudaSuccess;
  if (!CheckBytes("a memset writes", to, bytes)) return Set(cudaErrorInvalidValue);
  const Allocation* a = FindAllocation(to);
  if (a == nullptr) return Reject(cudaErrorInvalidValue, "a memset of pageable memory");
  if (!a->pinned_host && a->device != DeviceOf(stream))
    return Reject(cudaErrorInvalidValue, "a memset of memory " + OfDevice(a->device) +
                                             " on a stream " + OfDevice(DeviceOf(stream)));
  if (Recording()) return cudaSuccess;
  Push(stream, {[=] {
                  if (CheckBytes("a memset writes", to, bytes)) std::memset(to, value, bytes);
                },
                {}});
  return cudaSuccess;
}

}  // namespace

std::string QueuedCopyOf(const void* data, size_t bytes) {
  const auto* const begin = static_cast<const std::byte*>(data);
  for (const PendingCopy& copy : Queued()) {
    if (Overlap(copy.from, copy.bytes, begin, bytes)) return Text(copy) + " has yet to read";
    if (Overlap(copy.to, copy.bytes, begin, bytes)) return Text(copy) + " has yet to write";
  }
  return "";
}

}  // namespace tl::simt

using namespace tl::simt;

extern "C" {

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind,
                            cudaStream_t stream) {
  UseDevice("cudaMemcpyAsync");
  return CopyLater(to, from, bytes, stream);
}
// Waits where the host has a part.
cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind) {
  UseDevice("cudaMemcpy");
  const cudaError_t error = CopyLater(to, from, bytes, nullptr);
  if (IsHost(to) || IsHost(from)) Drain(nullptr);
  return error;
}
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  UseDevice("cudaMemsetAsync");
  return FillLater(to, value, bytes, stream);
}
cudaError_t cudaMemset(void* to, int value, size_t bytes) {
  UseDevice("cudaMemset");
  return FillLater(to, value, bytes, nullptr);
}

}  // extern "C"
