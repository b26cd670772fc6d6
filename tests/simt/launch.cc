// SPDX-License-Identifier: Apache-2.0
// Kernels as the driver knows them, and its rules of a launch: each is kept at the call, which
// reports what it refuses and returns the error.
#include <algorithm>
#include <cstring>
#include <map>
#include <set>

#include "tests/simt/control.h"
#include "tests/simt/device_side.h"
#include "tests/simt/driver.h"
#include "tests/simt/machine.h"
#include "tests/simt/runtime.h"
#include "tests/simt/symbols.h"

namespace tl::simt {
namespace {

constexpr size_t kMaxArguments = 4096;  // bytes, that CUDA 12.0 takes too
constexpr uint64_t kMaxGridX = 0x7fffffff, kMaxGridYZ = 65535, kMaxBlockZ = 64;

struct Kernel {
  std::string name;
  std::vector<Parameter> parameters;
  size_t argument_bytes = 0;
  KernelCall call = nullptr;
  std::set<const SharedArray*> arrays;
  size_t static_bytes = 0;
  std::map<int, size_t> attribute;  // MaxDynamicSharedMemorySize by device, where it was set

  // As ptxas does: nothing lies between them, and dynamic memory begins at a multiple of its own
  // alignment.
  void CountArrays() {
    constexpr size_t kDynamicAlignment = 128;  // TL_DYNAMIC_SHARED's
    size_t sum = 0;
    for (const SharedArray* array : arrays) sum += array->bytes;
    static_bytes = (sum + kDynamicAlignment - 1) / kDynamicAlignment * kDynamicAlignment;
  }
  size_t MostDynamic(int device) const {
    if (const auto set = attribute.find(device); set != attribute.end()) return set->second;
    return kSharedWithoutAttribute - std::min(kSharedWithoutAttribute, static_bytes);
  }
};

std::map<const void*, Kernel>& Kernels() {
  static auto* kernels = new std::map<const void*, Kernel>;
  return *kernels;
}

Kernel* Find(const void* kernel) {
  const auto found = Kernels().find(kernel);
  return found == Kernels().end() ? nullptr : &found->second;
}

std::string Text(uint64_t x, uint64_t y, uint64_t z) {
  return std::to_string(x) + " x " + std::to_string(y) + " x " + std::to_string(z);
}
std::string Text(dim3 v) { return Text(v.x, v.y, v.z); }

// "49152 bytes of dynamic shared memory and 1024 of static are more than "
std::string TooMuch(size_t dynamic_bytes, size_t static_bytes) {
  return std::to_string(dynamic_bytes) + " bytes of dynamic shared memory and " +
         std::to_string(static_bytes) + " of static are more than ";
}

// Why a block may not have so much shared memory; empty where it may.
std::string SharedObjection(const Kernel& kernel, size_t dynamic_bytes, int device) {
  const std::string name = "cudaFuncAttributeMaxDynamicSharedMemorySize " + OfDevice(device);
  if (dynamic_bytes + kernel.static_bytes > SharedLimit())
    return TooMuch(dynamic_bytes, kernel.static_bytes) + std::to_string(SharedLimit()) +
           ", a block's most";
  if (dynamic_bytes <= kernel.MostDynamic(device)) return "";
  if (kernel.attribute.contains(device))
    return std::to_string(dynamic_bytes) + " bytes of dynamic shared memory, but " + name + " is " +
           std::to_string(kernel.MostDynamic(device));
  return TooMuch(dynamic_bytes, kernel.static_bytes) + std::to_string(kSharedWithoutAttribute) +
         ", and " + name + " is not set";
}

struct Objection {
  cudaError_t error;
  std::string why;
};

Objection Object(const Kernel& kernel, dim3 grid, dim3 block, size_t dynamic_bytes, int device) {
  const uint64_t threads = uint64_t{block.x} * block.y * block.z;
  if (uint64_t{grid.x} * grid.y * grid.z == 0 || threads == 0)
    return {cudaErrorInvalidConfiguration,
            "nothing to run in a grid of " + Text(grid) + " blocks of " + Text(block) + " threads"};
  if (grid.x > kMaxGridX || grid.y > kMaxGridYZ || grid.z > kMaxGridYZ)
    return {cudaErrorInvalidConfiguration, "a grid of " + Text(grid) + " blocks, more than " +
                                               Text(kMaxGridX, kMaxGridYZ, kMaxGridYZ)};
  if (threads > kMaxThreads || block.z > kMaxBlockZ)
    return {cudaErrorInvalidConfiguration, "blocks of " + Text(block) + " threads, more than " +
                                               std::to_string(kMaxThreads) + " together or " +
                                               std::to_string(kMaxBlockZ) + " in z"};
  if (kernel.argument_bytes > kMaxArguments)
    return {cudaErrorInvalidValue, std::to_string(kernel.argument_bytes) +
                                       " bytes of arguments, more than " +
                                       std::to_string(kMaxArguments)};
  return {cudaErrorInvalidValue, SharedObjection(kernel, dynamic_bytes, device)};
}

cudaError_t SetMaxDynamicShared(Kernel& kernel, int device, int value) {
  const auto bytes = static_cast<size_t>(value);  // a negative value is too much
  if (value < 0 || bytes + kernel.static_bytes > SharedLimit())
    return Reject(cudaErrorInvalidValue, "cudaFuncAttributeMaxDynamicSharedMemorySize " +
                                             OfDevice(device) + " of " + kernel.name +
                                             " refused: " + TooMuch(bytes, kernel.static_bytes) +
                                             std::to_string(SharedLimit()) + ", a block's most");
  kernel.attribute[device] = bytes;
  return cudaSuccess;
}

}  // namespace

void Declare(const void* function, const Parameter* parameters, size_t count, KernelCall call) {
  const auto [entry, is_new] = Kernels().try_emplace(function);
  if (!is_new) return;
  Kernel& kernel = entry->second;
  kernel.parameters.assign(parameters, parameters + count);
  if (count > 0) kernel.argument_bytes = parameters[count - 1].offset + parameters[count - 1].bytes;
  kernel.call = call;
  const FunctionSymbol symbol = FindFunction(function);
  kernel.name = Demangled(symbol.symbol);
  for (const SharedArray& array : SharedArrays())
    if (Declares(symbol, array)) kernel.arrays.insert(&array);
  kernel.CountArrays();
}

void CountStatic(size_t offset, void* site) {
  // The kernel that each two bytes were last counted for.
  static auto* counted = new std::vector<const void*>;
  const size_t cell = offset / 2;
  if (cell < counted->size() && (*counted)[cell] == g_block.kernel) return;
  const auto& all = SharedArrays();
  auto array = std::upper_bound(all.begin(), all.end(), offset,
                                [](size_t at, const SharedArray& a) { return at < a.offset; });
  if (array == all.begin() || offset >= (--array)->offset + array->bytes) return;
  const size_t end = (array->offset + array->bytes + 1) / 2;
  if (counted->size() < end) counted->resize(end);
  std::fill(counted->begin() + array->offset / 2, counted->begin() + end, g_block.kernel);
  Kernel& kernel = *Find(g_block.kernel);
  if (!kernel.arrays.insert(&*array).second) return;
  kernel.CountArrays();
  const std::string why = SharedObjection(kernel, g_block.shared_bytes, g_block.device);
  if (!why.empty()) Fail("launch of " + kernel.name + " would be refused: " + why, site);
}

cudaError_t CheckLaunchStream(const std::string& what, cudaStream_t stream) {
  if (const cudaError_t error = CheckStream(what, stream); error != cudaSuccess) return error;
  const int current = UseDevice(what.c_str());
  if (DeviceOf(stream) == current) return cudaSuccess;
  return Reject(cudaErrorInvalidResourceHandle, what + " refused: the stream is " +
                                                    OfDevice(DeviceOf(stream)) + ", but device " +
                                                    std::to_string(current) + " is current");
}

}  // namespace tl::simt

using namespace tl::simt;

extern "C" {

cudaError_t cudaLaunchKernel(const void* function, dim3 grid, dim3 block, void** values,
                             size_t dynamic_bytes, cudaStream_t stream) {
  const Kernel* kernel = Find(function);
  if (kernel == nullptr)
    return Reject(cudaErrorInvalidDeviceFunction, "launch of a function that is no kernel");
  const std::string what = "launch of " + kernel->name;
  if (const cudaError_t error = CheckLaunchStream(what, stream); error != cudaSuccess) return error;
  const int device = CurrentDevice();
  const Objection objection = Object(*kernel, grid, block, dynamic_bytes, device);
  if (!objection.why.empty()) return Reject(objection.error, what + " refused: " + objection.why);
  const auto threads = static_cast<int>(block.x * block.y * block.z);
  if (Recorded(
          {const_cast<void*>(function), int64_t{grid.x} * grid.y * grid.z, threads, dynamic_bytes}))
    return cudaSuccess;
  Grid work{const_cast<void*>(function), kernel->call, grid, block, dynamic_bytes, device, {}};
  work.arguments.resize(kernel->argument_bytes);
  for (size_t i = 0; i < kernel->parameters.size(); ++i)
    std::memcpy(work.arguments.data() + kernel->parameters[i].offset, values[i],
                kernel->parameters[i].bytes);
  Push(stream, {[work = std::move(work)] { RunGrid(work); }, {}});
  return cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void* function, cudaFuncAttribute attribute, int value) {
  ++CallsSoFar().attributes;
  const int device = UseDevice("cudaFuncSetAttribute");
  Kernel* kernel = Find(function);
  if (kernel == nullptr)
    return Reject(cudaErrorInvalidDeviceFunction, "an attribute of a function that is no kernel");
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize)
    return Reject(cudaErrorInvalidValue,
                  "attribute " + std::to_string(attribute) + " of " + kernel->name);
  return SetMaxDynamicShared(*kernel, device, value);
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* function) {
  ++CallsSoFar().attributes;
  const int device = UseDevice("cudaFuncGetAttributes");
  const Kernel* kernel = Find(function);
  if (kernel == nullptr)
    return Reject(cudaErrorInvalidDeviceFunction, "the attributes of a function that is no kernel");
  std::memset(attributes, 0, sizeof(*attributes));
  attributes->sharedSizeBytes = kernel->static_bytes;
  attributes->maxDynamicSharedSizeBytes = static_cast<int>(kernel->MostDynamic(device));
  attributes->maxThreadsPerBlock = kMaxThreads;
  return cudaSuccess;
}

}  // extern "C"
