// SPDX-License-Identifier: Apache-2.0
// The CUDA runtime's memory: allocations of devices and of pinned host memory.
#include "tests/simt/runtime.h"

#include <cstring>

#include "tests/simt/driver.h"
#include "tests/simt/machine.h"
#include "tests/simt/memory.h"

namespace tl::simt {

Calls& CallsSoFar() {
  static Calls calls;
  return calls;
}

namespace {

// What a copy has yet to do with freed memory comes too late; it is done all the same, so that the
// program can go on.
void CheckUnused(const char* call, const Allocation& freed) {
  const std::string copy = QueuedCopyOf(freed.data, freed.bytes);
  if (copy.empty()) return;
  Report(std::string(call) + " of " + std::to_string(freed.bytes) + " bytes that " + copy);
  DrainAll();
}

cudaError_t Free(const char* call, void* data, bool pinned_host) {
  if (data == nullptr) return cudaSuccess;
  ++CallsSoFar().allocations;
  UseDevice(call);
  const Allocation* found = FindAllocation(data);
  if (found == nullptr || found->data != data || found->pinned_host != pinned_host)
    return Reject(cudaErrorInvalidValue,
                  std::string(call) + " of what was not allocated, or was freed already");
  // CUDA waits for the device that has the memory, for no other, and says of pinned memory nothing.
  if (!pinned_host) DrainDevice(found->device);
  CheckUnused(call, *found);
  FreeDevice(data);
  return cudaSuccess;
}

}  // namespace
}  // namespace tl::simt

using namespace tl::simt;

extern "C" {

cudaError_t cudaMalloc(void** data, size_t bytes) {
  ++CallsSoFar().allocations;
  const int device = UseDevice("cudaMalloc");
  if (bytes > DeviceMemory() - AllocatedBytes(device)) return Set(cudaErrorMemoryAllocation);
  *data = AllocateDevice(bytes, false, device);
  return *data == nullptr && bytes > 0 ? Set(cudaErrorMemoryAllocation) : cudaSuccess;
}
cudaError_t cudaFree(void* data) { return Free("cudaFree", data, false); }
cudaError_t cudaMallocHost(void** data, size_t bytes) {
  ++CallsSoFar().allocations;
  *data = AllocateDevice(bytes, true, UseDevice("cudaMallocHost"));
  return *data == nullptr && bytes > 0 ? Set(cudaErrorMemoryAllocation) : cudaSuccess;
}
cudaError_t cudaHostAlloc(void** data, size_t bytes, unsigned) {
  return cudaMallocHost(data, bytes);
}
cudaError_t cudaFreeHost(void* data) { return Free("cudaFreeHost", data, true); }
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  *total = DeviceMemory();
  *free = DeviceMemory() - AllocatedBytes(UseDevice("cudaMemGetInfo"));
  return cudaSuccess;
}
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* p) {
  std::memset(attributes, 0, sizeof(*attributes));
  const Allocation* found = FindAllocation(p);
  attributes->type = found == nullptr     ? cudaMemoryTypeUnregistered
                     : found->pinned_host ? cudaMemoryTypeHost
                                          : cudaMemoryTypeDevice;
  attributes->device = found == nullptr ? -1 : found->device;
  return cudaSuccess;
}

}  // extern "C"
