// SPDX-License-Identifier: Apache-2.0
#include "device/cuda_backend.h"

#include <cuda_runtime_api.h>
#include <nvtx3/nvToolsExt.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>
#include <vector>

#include "device/cuda.h"
#include "device/cuda_check.h"
#include "device/cuda_device.h"
#include "device/profiler_range.h"

namespace tl::cuda {
namespace {

Platform FindPlatform() {
  Platform platform;
  platform.toolkit = CUDART_VERSION;
  TL_CHECK_CUDA(cudaDriverGetVersion(&platform.driver));
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (platform.driver == 0) {
    platform.absent = "no driver";
  } else if (error != cudaSuccess) {
    platform.absent = cudaGetErrorString(error);
  } else if (count == 0) {
    platform.absent = "no devices";
  }
  if (error != cudaSuccess) {
    cudaGetLastError();
    return platform;
  }
  for (int i = 0; i < count; ++i) {
    cudaDeviceProp found;
    TL_CHECK_CUDA(cudaGetDeviceProperties(&found, i)) << "cuda:" << i;
    platform.devices.push_back({.name = found.name,
                                .major = found.major,
                                .minor = found.minor,
                                .processors = found.multiProcessorCount,
                                .memory_bytes = static_cast<int64_t>(found.totalGlobalMem)});
  }
  return platform;
}

// Buffers of static objects die after the runtime, which has freed them.
void CheckFreed(cudaError_t error) {
  TL_CHECK_CUDA(error == cudaErrorCudartUnloading ? cudaSuccess : error);
}

}  // namespace

// CUDA's calls mean the thread's current device; nobody else here changes it.
void MakeCurrent(int device) {
  thread_local int current = -1;
  if (current == device) return;
  TL_CHECK_CUDA(cudaSetDevice(device)) << "cuda:" << device;
  current = device;
}

const Platform& GetPlatform() {
  static const auto* platform = new Platform(FindPlatform());
  return *platform;
}

std::array<uint8_t, 16> Uuid(int device) {
  cudaDeviceProp found;
  TL_CHECK_CUDA(cudaGetDeviceProperties(&found, device)) << "cuda:" << device;
  std::array<uint8_t, 16> uuid;
  static_assert(sizeof(found.uuid) == sizeof(uuid));
  std::memcpy(uuid.data(), &found.uuid, sizeof(uuid));
  return uuid;
}

int64_t FreeMemory(int device) {
  MakeCurrent(device);
  size_t free = 0, total = 0;
  TL_CHECK_CUDA(cudaMemGetInfo(&free, &total));
  return static_cast<int64_t>(free);
}

std::string VersionText(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

namespace {

struct Count {
  int64_t now = 0, most = 0;
};
Count& CountOf(int device) {
  static auto* counts = new std::vector<Count>(DeviceCount());
  return (*counts)[device];
}

}  // namespace

int64_t AllocatedBytes(int device) { return CountOf(device).now; }
int64_t PeakBytes(int device) { return CountOf(device).most; }

std::byte* Allocate(int device, size_t bytes) {
  TL_CHECK_LT(device, DeviceCount()) << GetPlatform().absent;
  MakeCurrent(device);
  void* data = nullptr;
  const cudaError_t error = cudaMalloc(&data, bytes);
  if (error != cudaSuccess) {
    size_t free = 0, total = 0;
    cudaMemGetInfo(&free, &total);
    TL_CHECK_CUDA(error) << "for " << bytes << " bytes on cuda:" << device << ", of which " << free
                         << " of " << total << " are free";
  }
  Count& count = CountOf(device);
  count.now += static_cast<int64_t>(bytes);
  count.most = std::max(count.most, count.now);
  return static_cast<std::byte*>(data);
}

void Free(int device, std::byte* data, size_t bytes) {
  if (data == nullptr) return;
  CountOf(device).now -= static_cast<int64_t>(bytes);
  MakeCurrent(device);
  CheckFreed(cudaFree(data));
}

std::byte* AllocatePinned(int device, size_t bytes) {
  TL_CHECK_LT(device, DeviceCount()) << GetPlatform().absent;
  MakeCurrent(device);
  void* data = nullptr;
  TL_CHECK_CUDA(cudaMallocHost(&data, bytes)) << "for " << bytes << " bytes";
  return static_cast<std::byte*>(data);
}

void FreePinned(int device, std::byte* data) {
  MakeCurrent(device);
  CheckFreed(cudaFreeHost(data));
}

class Queue {
 public:
  Queue(int device, Stream::Mode mode) : device_(device) {
    MakeCurrent(device);
    // Messages go first: what is computed meanwhile has no one waiting for it.
    int lowest = 0, highest = 0;
    TL_CHECK_CUDA(cudaDeviceGetStreamPriorityRange(&lowest, &highest));
    TL_CHECK_CUDA(cudaStreamCreateWithPriority(&stream_, cudaStreamNonBlocking,
                                               mode == Stream::Mode::kAsync ? highest : lowest));
  }
  ~Queue() {
    TL_CHECK_CUDA(cudaStreamSynchronize(handle()));
    TL_CHECK_CUDA(cudaStreamDestroy(stream_));
  }
  cudaStream_t handle() const {
    MakeCurrent(device_);
    return stream_;
  }
  int device() const { return device_; }

 private:
  int device_;
  cudaStream_t stream_ = nullptr;
};

namespace {

// Events that no mark uses, for the next ones. Marks end on any thread. A stream that waits for an
// event, or has yet to reach it, is not disturbed by what is recorded in it later.
class IdleEvents {
 public:
  // The device is the current one.
  cudaEvent_t Take(int device) {
    cudaEvent_t event = nullptr;
    const std::lock_guard lock(mutex_);
    std::vector<cudaEvent_t>& idle = of_device_[device];
    if (idle.empty()) {
      TL_CHECK_CUDA(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    } else {
      event = idle.back();
      idle.pop_back();
    }
    return event;
  }
  void Give(int device, cudaEvent_t event) {
    const std::lock_guard lock(mutex_);
    of_device_[device].push_back(event);
  }

 private:
  std::mutex mutex_;
  std::map<int, std::vector<cudaEvent_t>> of_device_;
};

IdleEvents& Idle() {
  static auto* idle = new IdleEvents;
  return *idle;
}

}  // namespace

class Mark {
 public:
  explicit Mark(const Queue& queue) : device_(queue.device()) {
    const cudaStream_t stream = queue.handle();  // makes the device current, for its event
    event_ = Idle().Take(device_);
    TL_CHECK_CUDA(cudaEventRecord(event_, stream));
  }
  ~Mark() { Idle().Give(device_, event_); }
  cudaEvent_t event() const { return event_; }

 private:
  int device_;
  cudaEvent_t event_;
};

cudaStream_t Handle(Stream& stream) {
  TL_CHECK(stream.cuda_queue() != nullptr) << "a stream of " << ToString(stream.device());
  return stream.cuda_queue()->handle();
}

void DeleteQueue::operator()(Queue* queue) const { delete queue; }

QueuePtr MakeQueue(int device, Stream::Mode mode) {
  TL_CHECK_LT(device, DeviceCount()) << GetPlatform().absent;
  return QueuePtr(new Queue(device, mode));
}

void Synchronize(Queue& queue) { TL_CHECK_CUDA(cudaStreamSynchronize(queue.handle())); }

std::shared_ptr<Mark> Record(Queue& queue) { return std::make_shared<Mark>(queue); }

void Wait(Queue& queue, const Mark& mark) {
  TL_CHECK_CUDA(cudaStreamWaitEvent(queue.handle(), mark.event(), 0));
}

bool Query(const Mark& mark) {
  const cudaError_t error = cudaEventQuery(mark.event());
  if (error == cudaErrorNotReady) {
    cudaGetLastError();  // an answer, but the runtime keeps it as an error
    return false;
  }
  TL_CHECK_CUDA(error);
  return true;
}

void Synchronize(const Mark& mark) { TL_CHECK_CUDA(cudaEventSynchronize(mark.event())); }

void Copy(Queue& queue, std::byte* dst, const std::byte* src, size_t bytes) {
  const cudaStream_t stream = queue.handle();
  TL_CHECK_CUDA(cudaMemcpyAsync(dst, src, bytes, cudaMemcpyDefault, stream));
  for (const std::byte* end : {static_cast<const std::byte*>(dst), src}) {
    cudaPointerAttributes attributes;
    TL_CHECK_CUDA(cudaPointerGetAttributes(&attributes, end));
    if (attributes.type != cudaMemoryTypeUnregistered) continue;
    TL_CHECK_CUDA(cudaStreamSynchronize(stream));
    return;
  }
}

void Zero(Queue& queue, std::byte* dst, size_t bytes) {
  TL_CHECK_CUDA(cudaMemsetAsync(dst, 0, bytes, queue.handle()));
}

}  // namespace tl::cuda

namespace tl {

ProfilerRange::ProfilerRange(const char* name) { nvtxRangePushA(name); }
ProfilerRange::~ProfilerRange() { nvtxRangePop(); }

}  // namespace tl
