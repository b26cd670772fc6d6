// SPDX-License-Identifier: Apache-2.0
// fp64 sums over a block that go from micro-batch to micro-batch.
#pragma once

#include "kernels/cuda/common.h"

namespace tl::cuda {

// sums[k] += the sum over the block's kThreads, a power of two, of mine[k]. parts: shared. All
// threads must come.
template <int kThreads, int kSums>
__device__ inline void AddBlockSums(double* sums, const double (&mine)[kSums],
                                    double (&parts)[kThreads]) {
  for (int k = 0; k < kSums; ++k) {
    parts[threadIdx.x] = mine[k];
    __syncthreads();
    for (unsigned half = kThreads / 2; half > 0; half /= 2) {
      if (threadIdx.x < half) parts[threadIdx.x] += parts[threadIdx.x + half];
      __syncthreads();
    }
    if (threadIdx.x == 0) sums[k] += parts[0];
    __syncthreads();
  }
}

}  // namespace tl::cuda
