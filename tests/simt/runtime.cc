// The CUDA runtime's functions that the product calls.
#include "tests/simt/runtime.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "tests/simt/device_side.h"
#include "tests/simt/machine.h"
#include "tests/simt/memory.h"

namespace tl::simt {

void Forget(cudaStream_t stream);

Calls& CallsSoFar() {
  static Calls calls;
  return calls;
}

namespace {

// The host waits for a stream.
void WaitFor(cudaStream_t stream) {
  if (!IsIdle(stream)) ++CallsSoFar().waits;
  Drain(stream);
}

thread_local cudaError_t t_error = cudaSuccess;
thread_local int t_device = 0;

int Devices() {
  const char* text = std::getenv("TL_SIMT_DEVICES");
  return text == nullptr ? 1 : std::atoi(text);
}

cudaError_t Set(cudaError_t error) {
  if (error != cudaSuccess) t_error = error;
  return error;
}

bool IsDevice(const void* p) {
  const Allocation* a = FindAllocation(p);
  return a != nullptr && !a->pinned_host;
}
bool IsPageable(const void* p) { return !IsDeviceRegion(p); }

// Of a block. TL_SIMT_SHARED_KIB: as on GPUs that have less.
size_t SharedLimit() {
  const char* text = std::getenv("TL_SIMT_SHARED_KIB");
  return text == nullptr ? kMaxShared : static_cast<size_t>(std::atoi(text)) << 10;
}

// Of a device. TL_SIMT_MEMORY_GIB: as on GPUs that have more or less than 64.
size_t Memory() {
  const char* text = std::getenv("TL_SIMT_MEMORY_GIB");
  return static_cast<size_t>(text == nullptr ? 64 : std::atoi(text)) << 30;
}

// TL_SIMT_PROCESSORS: as on GPUs that have more than 4.
int Processors() {
  const char* text = std::getenv("TL_SIMT_PROCESSORS");
  return text == nullptr ? 4 : std::atoi(text);
}

void CheckBytes(const char* what, const void* p, size_t bytes) {
  if (!IsDeviceRegion(p) || bytes == 0) return;
  const Allocation* a = FindAllocation(p);
  if (a == nullptr) return Report(std::string(what) + " outside of every allocation");
  const size_t offset = static_cast<const std::byte*>(p) - a->data;
  if (offset + bytes > a->bytes)
    Report(std::string(what) + ": out of bounds, bytes " + std::to_string(offset) + " to " +
           std::to_string(offset + bytes) + " of an allocation of " + std::to_string(a->bytes));
}

cudaError_t CopyLater(void* to, const void* from, size_t bytes, cudaStream_t stream) {
  if (bytes == 0) return cudaSuccess;
  CheckBytes("a copy writes", to, bytes);
  CheckBytes("a copy reads", from, bytes);
  if (Recording()) return cudaSuccess;
  if (IsPageable(from)) {  // staged before the call returns
    std::string staged(static_cast<const char*>(from), bytes);
    Push(stream, {[=, staged = std::move(staged)] { std::memcpy(to, staged.data(), bytes); }, {}});
  } else {
    Push(stream, {[=] { std::memcpy(to, from, bytes); }, {}});
  }
  if (IsPageable(to)) WaitFor(stream);
  return cudaSuccess;
}

}  // namespace

void Enqueue(void* kernel, dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream,
             Arguments arguments, void (*call)(void* kernel, const std::byte* arguments)) {
  const size_t threads = size_t{block.x} * block.y * block.z;
  if (threads == 0 || threads > kMaxThreads || block.z > 64 || grid.y > 65535 || grid.z > 65535 ||
      shared_bytes > SharedLimit())
    return Report("launch of " + Where(kernel) + " refused: " + std::to_string(threads) +
                  " threads, " + std::to_string(shared_bytes) + " bytes of shared memory");
  if (Recorded(
          {kernel, int64_t{grid.x} * grid.y * grid.z, static_cast<int>(threads), shared_bytes}))
    return;
  Push(stream, {[=] { RunGrid(kernel, grid, block, shared_bytes, arguments, call); }, {}});
}

}  // namespace tl::simt

using namespace tl::simt;

extern "C" {

cudaError_t cudaDriverGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceCount(int* count) {
  *count = Devices();
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  if (device < 0 || device >= Devices()) return Set(cudaErrorInvalidDevice);
  t_device = device;
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
  *device = t_device;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* prop, int device) {
  if (device < 0 || device >= Devices()) return Set(cudaErrorInvalidDevice);
  std::memset(prop, 0, sizeof(*prop));
  std::snprintf(prop->name, sizeof(prop->name), "SIMT test machine, whose speed means nothing");
  prop->major = 8;
  prop->minor = 0;
  prop->multiProcessorCount = Processors();
  prop->totalGlobalMem = Memory();
  prop->sharedMemPerBlock = 48 << 10;
  prop->sharedMemPerBlockOptin = SharedLimit();
  prop->sharedMemPerMultiprocessor = SharedLimit() + 1024;
  prop->maxThreadsPerBlock = kMaxThreads;
  prop->maxThreadsPerMultiProcessor = 2048;
  prop->regsPerBlock = 65536;
  prop->warpSize = kWarp;
  prop->uuid.bytes[0] = static_cast<char>(device + 1);
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  if (device < 0 || device >= Devices()) return Set(cudaErrorInvalidDevice);
  switch (attribute) {
    case cudaDevAttrMultiProcessorCount:
      *value = Processors();
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMajor:
      *value = 8;
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMinor:
      *value = 0;
      return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = static_cast<int>(SharedLimit());
      return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      *value = 48 << 10;
      return cudaSuccess;
    default:
      return Set(cudaErrorInvalidValue);
  }
}
cudaError_t cudaDeviceGetStreamPriorityRange(int* lowest, int* highest) {
  *lowest = 0;
  *highest = -5;
  return cudaSuccess;
}
cudaError_t cudaFuncSetAttribute(const void*, cudaFuncAttribute, int) { return cudaSuccess; }

cudaError_t cudaGetLastError() { return std::exchange(t_error, cudaSuccess); }
cudaError_t cudaPeekAtLastError() { return t_error; }
const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorNotReady:
      return "device not ready";
    case cudaErrorInvalidDevice:
      return "invalid device ordinal";
    case cudaErrorInvalidValue:
      return "invalid argument";
    default:
      return "error of the SIMT test machine";
  }
}
const char* cudaGetErrorName(cudaError_t error) { return cudaGetErrorString(error); }

cudaError_t cudaMalloc(void** data, size_t bytes) {
  ++CallsSoFar().allocations;
  if (bytes > Memory() - AllocatedBytes()) return Set(cudaErrorMemoryAllocation);
  *data = AllocateDevice(bytes, false);
  return *data == nullptr && bytes > 0 ? Set(cudaErrorMemoryAllocation) : cudaSuccess;
}
cudaError_t cudaFree(void* data) {
  if (data == nullptr) return cudaSuccess;
  ++CallsSoFar().allocations;
  DrainAll();
  return FreeDevice(data) ? cudaSuccess : Set(cudaErrorInvalidValue);
}
cudaError_t cudaMallocHost(void** data, size_t bytes) {
  ++CallsSoFar().allocations;
  *data = AllocateDevice(bytes, true);
  return *data == nullptr && bytes > 0 ? Set(cudaErrorMemoryAllocation) : cudaSuccess;
}
cudaError_t cudaHostAlloc(void** data, size_t bytes, unsigned) {
  return cudaMallocHost(data, bytes);
}
cudaError_t cudaFreeHost(void* data) { return cudaFree(data); }
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  *total = Memory();
  *free = Memory() - AllocatedBytes();
  return cudaSuccess;
}
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* p) {
  std::memset(attributes, 0, sizeof(*attributes));
  attributes->type = IsDevice(p)                    ? cudaMemoryTypeDevice
                     : FindAllocation(p) != nullptr ? cudaMemoryTypeHost
                                                    : cudaMemoryTypeUnregistered;
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind,
                            cudaStream_t stream) {
  return CopyLater(to, from, bytes, stream);
}
cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind) {
  const cudaError_t error = CopyLater(to, from, bytes, nullptr);
  Drain(nullptr);
  return error;
}
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  CheckBytes("a memset writes", to, bytes);
  if (bytes > 0 && !Recording()) Push(stream, {[=] { std::memset(to, value, bytes); }, {}});
  return cudaSuccess;
}
cudaError_t cudaMemset(void* to, int value, size_t bytes) {
  cudaMemsetAsync(to, value, bytes, nullptr);
  Drain(nullptr);
  return cudaSuccess;
}
cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* data) {
  Push(stream, {[=] { function(data); }, {}});
  return cudaSuccess;
}

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  *stream = new CUstream_st;
  return cudaSuccess;
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  return cudaStreamCreate(stream);
}
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned, int) {
  return cudaStreamCreate(stream);
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  Drain(stream);
  Forget(stream);
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  WaitFor(stream);
  return cudaSuccess;
}
cudaError_t cudaStreamQuery(cudaStream_t stream) {
  if (!IsIdle(stream)) Progress();
  return IsIdle(stream) ? cudaSuccess : cudaErrorNotReady;
}
cudaError_t cudaDeviceSynchronize() {
  DrainAll();
  return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  if (event->last != nullptr) Push(stream, {nullptr, event->last});
  return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  *event = new CUevent_st;
  return cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  return cudaEventCreate(event);
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  event->last = std::make_shared<Moment>();
  event->last->stream = Push(stream, {[moment = event->last] { moment->complete = true; }, {}});
  return cudaSuccess;
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
  if (event->last == nullptr || event->last->complete) return cudaSuccess;
  if (!OnMachineThread()) return cudaErrorNotReady;
  Progress();
  return event->last->complete ? cudaSuccess : cudaErrorNotReady;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  if (event->last == nullptr || event->last->complete) return cudaSuccess;
  ++CallsSoFar().waits;
  DrainTo(event->last);
  return cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t, cudaEvent_t) {
  *milliseconds = 1.0f;
  return cudaSuccess;
}

}  // extern "C"
