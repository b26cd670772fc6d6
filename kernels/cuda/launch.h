// SPDX-License-Identifier: Apache-2.0
// What every CUDA source includes first: the CUDA headers, the call that starts a kernel, and the
// declaration of dynamic shared memory. Sources compile twice, by nvcc for GPUs and by g++ for the
// machine in tests/simt, hence no <<<>>>.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstddef>
#include <tuple>
#include <utility>

#include "base/check.h"
#include "device/cuda.h"
#include "device/device.h"

#if defined(TL_SIMT)
#include "tests/simt/device_side.h"
#else

// Declares T* name, this block's dynamic shared memory, 128-byte aligned.
#define TL_DYNAMIC_SHARED(T, name)                             \
  extern __shared__ __align__(128) unsigned char tl_shared_[]; \
  T* const name = reinterpret_cast<T*>(tl_shared_)

#endif

namespace tl::cuda {

// Lets the kernel's blocks have so much dynamic shared memory on the current device. What it
// declares itself counts too: together they pass 48 KiB only where this was asked for.
cudaError_t AllowDynamicShared(const void* kernel, size_t bytes);

// Starts kernel(args...), each argument converted to its parameter's type. A grid without blocks is
// no work.
template <class... P, class... A>
void Launch(void (*kernel)(P...), dim3 grid, dim3 block, size_t dynamic_shared_bytes,
            Stream& stream, A&&... args) {
  static_assert(sizeof...(P) == sizeof...(A), "one argument for each parameter of the kernel");
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
#if defined(TL_SIMT)
  simt::Declare(kernel);
#endif
  const void* const function = reinterpret_cast<const void*>(kernel);
  const cudaStream_t handle = Handle(stream);  // makes its device the current one
  cudaError_t error = AllowDynamicShared(function, dynamic_shared_bytes);
  if (error == cudaSuccess) {
    std::tuple<P...> values(static_cast<P>(std::forward<A>(args))...);
    std::apply(
        [&](auto&... value) {
          void* pointers[] = {const_cast<void*>(static_cast<const void*>(&value))..., nullptr};
          error = cudaLaunchKernel(function, grid, block, pointers, dynamic_shared_bytes, handle);
        },
        values);
  }
  TL_CHECK(error == cudaSuccess) << "launch of " << grid.x << "x" << grid.y << "x" << grid.z
                                 << " blocks of " << block.x << "x" << block.y << "x" << block.z
                                 << " threads with " << dynamic_shared_bytes
                                 << " bytes of shared memory: " << cudaGetErrorString(error);
}

}  // namespace tl::cuda
