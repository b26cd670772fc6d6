// SPDX-License-Identifier: Apache-2.0
// The CUDA half of the device layer, without CUDA's headers: what there is, and a stream's handle.
// Present in every build; one without CUDA finds no devices and says so.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "device/device.h"

using cudaStream_t = struct CUstream_st*;  // as in CUDA's headers

namespace tl::cuda {

struct DeviceInfo {
  std::string name;
  int major = 0;  // compute capability
  int minor = 0;
  int processors = 0;
  int64_t memory_bytes = 0;
};

// What this build and this machine have. Looked up once, at the first call; starts no work.
struct Platform {
  int toolkit = 0;  // 13000 is 13.0; 0: a build without CUDA
  int driver = 0;   // the newest CUDA that the driver serves; 0: no driver
  std::vector<DeviceInfo> devices;
  std::string absent;  // why there are no devices, as in "no driver"; empty where there are
};
const Platform& GetPlatform();
inline int DeviceCount() { return static_cast<int>(GetPlatform().devices.size()); }

// Bytes that allocations on the device can have now.
int64_t FreeMemory(int device);

// Names of ops without a CUDA kernel, "Attention, Rope"; without them models do not run.
const char* MissingOps();

std::string VersionText(int version);  // "13.0"

// Returns a CUDA stream's handle; makes its device the thread's current one, as launches need.
cudaStream_t Handle(Stream& stream);

}  // namespace tl::cuda
