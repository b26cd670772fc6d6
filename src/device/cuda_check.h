// SPDX-License-Identifier: Apache-2.0
// TL_CHECK_CUDA(call): a call of the CUDA runtime that must succeed.
#pragma once

#include <cuda_runtime_api.h>

#include "base/check.h"

namespace tl::cuda::internal {

// Reads the error out of the runtime, so that no later call reports it again.
inline const char* Take(cudaError_t error) {
  cudaGetLastError();
  return cudaGetErrorString(error);
}

}  // namespace tl::cuda::internal

#define TL_CHECK_CUDA(call)                                                                  \
  if (const cudaError_t tl_cuda_error_ = (call); tl_cuda_error_ == cudaSuccess) [[likely]] { \
  } else                                                                                     \
    ::tl::internal::CheckFailure(__FILE__, __LINE__, #call).stream()                         \
        << ::tl::cuda::internal::Take(tl_cuda_error_) << " "
