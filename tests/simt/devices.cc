// SPDX-License-Identifier: Apache-2.0
// Devices: which there are, which is a host thread's current one, which have a context, and the
// errors of each thread.
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "tests/simt/driver.h"
#include "tests/simt/machine.h"
#include "tests/simt/memory.h"

namespace tl::simt {
namespace {

thread_local cudaError_t t_error = cudaSuccess;
thread_local int t_device = 0;
thread_local bool t_chosen = false;  // by cudaSetDevice

std::atomic<uint64_t> g_contexts = 0;  // a bit for each device

int FromEnvironment(const char* name, int otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::atoi(text);
}

// TL_SIMT_PROCESSORS: as on GPUs that have more than 4.
int Processors() { return FromEnvironment("TL_SIMT_PROCESSORS", 4); }

}  // namespace

cudaError_t Set(cudaError_t error) {
  if (error != cudaSuccess) t_error = error;
  return error;
}

cudaError_t Reject(cudaError_t error, const std::string& why) {
  Report(why);
  return Set(error);
}

int DeviceCount() { return FromEnvironment("TL_SIMT_DEVICES", 1); }

// TL_SIMT_SHARED_KIB: as on GPUs that have less.
size_t SharedLimit() {
  return static_cast<size_t>(FromEnvironment("TL_SIMT_SHARED_KIB", kMaxShared >> 10)) << 10;
}

// TL_SIMT_MEMORY_GIB: as on GPUs that have more or less than 64.
size_t DeviceMemory() {
  return static_cast<size_t>(FromEnvironment("TL_SIMT_MEMORY_GIB", 64)) << 30;
}

std::string OfDevice(int device) { return "of device " + std::to_string(device); }

int CurrentDevice() { return t_device; }

int UseDevice(const char* call) {
  const uint64_t bit = uint64_t{1} << t_device;
  const uint64_t before = g_contexts.fetch_or(bit);
  if (!t_chosen && (before & bit) == 0 && DeviceCount() > 1)
    Report(std::string(call) + " in a thread that never called cudaSetDevice starts a context on" +
           " device 0 of " + std::to_string(DeviceCount()));
  return t_device;
}

std::vector<int> DevicesWithContext() {
  std::vector<int> devices;
  for (int i = 0; i < 64; ++i)
    if (g_contexts >> i & 1) devices.push_back(i);
  return devices;
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
  *count = DeviceCount();
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  if (device < 0 || device >= DeviceCount()) return Set(cudaErrorInvalidDevice);
  t_device = device;
  t_chosen = true;
  UseDevice("cudaSetDevice");
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
  *device = t_device;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* prop, int device) {
  if (device < 0 || device >= DeviceCount()) return Set(cudaErrorInvalidDevice);
  std::memset(prop, 0, sizeof(*prop));
  std::snprintf(prop->name, sizeof(prop->name), "SIMT test machine, whose speed means nothing");
  prop->major = 8;
  prop->minor = 0;
  prop->multiProcessorCount = Processors();
  prop->totalGlobalMem = DeviceMemory();
  prop->sharedMemPerBlock = kSharedWithoutAttribute;
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
  if (device < 0 || device >= DeviceCount()) return Set(cudaErrorInvalidDevice);
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
      *value = kSharedWithoutAttribute;
      return cudaSuccess;
    default:
      return Set(cudaErrorInvalidValue);
  }
}

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
    case cudaErrorInvalidConfiguration:
      return "invalid configuration argument";
    case cudaErrorInvalidResourceHandle:
      return "invalid resource handle";
    case cudaErrorInvalidDeviceFunction:
      return "invalid device function";
    default:
      return "error of the SIMT test machine";
  }
}
const char* cudaGetErrorName(cudaError_t error) { return cudaGetErrorString(error); }

}  // extern "C"
