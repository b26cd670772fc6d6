// SPDX-License-Identifier: Apache-2.0
// The CUDA half of a build without CUDA.
#include "base/check.h"
#include "device/cuda.h"
#include "device/cuda_backend.h"
#include "device/cuda_device.h"
#include "device/profiler_range.h"

namespace tl::cuda {

class Queue {};
class Mark {};

namespace {

// No stream of a CUDA device can have been made, nor memory of one.
[[noreturn]] void Unreachable() {
  TL_CHECK(false) << "built without CUDA";
  __builtin_unreachable();
}

}  // namespace

const Platform& GetPlatform() {
  static const auto* platform =
      new Platform{.devices = {}, .absent = "this build has no CUDA backend"};
  return *platform;
}

std::string VersionText(int) { return "none"; }

const char* MissingOps() { return ""; }
int64_t FreeMemory(int) { return 0; }
int64_t AllocatedBytes(int) { return 0; }
int64_t PeakBytes(int) { return 0; }
std::array<uint8_t, 16> Uuid(int) { Unreachable(); }
void MakeCurrent(int) { Unreachable(); }
cudaStream_t Handle(Stream&) { Unreachable(); }
std::byte* Allocate(int, size_t) { Unreachable(); }
void Free(int, std::byte*, size_t) {}
std::byte* AllocatePinned(int, size_t) { Unreachable(); }
void FreePinned(int, std::byte*) {}
void DeleteQueue::operator()(Queue* queue) const { delete queue; }
QueuePtr MakeQueue(int, Stream::Mode) { Unreachable(); }
void Synchronize(Queue&) {}
std::shared_ptr<Mark> Record(Queue&) { return nullptr; }
void Wait(Queue&, const Mark&) {}
bool Query(const Mark&) { return true; }
void Synchronize(const Mark&) {}
void Copy(Queue&, std::byte*, const std::byte*, size_t) {}
void Zero(Queue&, std::byte*, size_t) {}

}  // namespace tl::cuda

namespace tl {

ProfilerRange::ProfilerRange(const char*) {}
ProfilerRange::~ProfilerRange() = default;

}  // namespace tl
