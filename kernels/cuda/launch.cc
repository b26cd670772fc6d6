// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/launch.h"

#include <map>
#include <mutex>

namespace tl::cuda {

cudaError_t AllowDynamicShared(const void* kernel, size_t bytes) {
  if (bytes == 0) return cudaSuccess;
  static std::mutex mutex;
  static auto* allowed = new std::map<std::pair<const void*, int>, size_t>;
  int device = 0;
  cudaError_t error = cudaGetDevice(&device);
  if (error != cudaSuccess) return error;
  const std::lock_guard lock(mutex);
  size_t& most = (*allowed)[{kernel, device}];
  if (bytes <= most) return cudaSuccess;
  error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(bytes));
  if (error == cudaSuccess) most = bytes;
  return error;
}

}  // namespace tl::cuda
