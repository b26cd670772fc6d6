// SPDX-License-Identifier: Apache-2.0
// The second half of a sum over rows: the first leaves one row of partial sums for each part.
#pragma once

#include "kernels/cuda/common.h"

namespace tl::cuda {

constexpr int kColumnGroups = 32;

// out[j] = (accumulate ? out[j] : 0) + sum over parts of partials[part, j]. A block owns 32
// columns; its warps take every 32nd part, and their sums are added in order.
static __global__ void __launch_bounds__(kWarp* kColumnGroups)
    SumPartsKernel(float* out, const float* partials, int parts, int64_t width, bool accumulate) {
  __shared__ float sums[kColumnGroups][kWarp];
  const int lane = threadIdx.x % kWarp, group = threadIdx.x / kWarp;
  const int64_t column = static_cast<int64_t>(blockIdx.x) * kWarp + lane;
  float sum = 0.0f;
  if (column < width) {
#pragma unroll 4
    for (int part = group; part < parts; part += kColumnGroups)
      sum += partials[part * width + column];
  }
  sums[group][lane] = sum;
  __syncthreads();
  if (group != 0 || column >= width) return;
  sum = accumulate ? out[column] : 0.0f;
  for (int g = 0; g < kColumnGroups; ++g) sum += sums[g][lane];
  out[column] = sum;
}

inline void SumParts(Stream& stream, const Tensor& out, const float* partials, int64_t parts,
                     bool accumulate) {
  const int64_t width = out.elements();
  Launch(SumPartsKernel, Blocks(CeilDiv(width, kWarp)), kWarp * kColumnGroups, 0, stream,
         out.as<float>(), partials, static_cast<int>(parts), width, accumulate);
}

}  // namespace tl::cuda
