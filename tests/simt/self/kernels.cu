// Small kernels for the machine's own tests: each right, or wrong in one named way.
#include "tests/simt/self/kernels.h"

namespace tl::cuda {
namespace {

// Sums a block's values by shared memory. Without the barrier threads read what others still write.
template <bool kBarrier>
__global__ void BlockSum(const float* x, float* sum) {
  __shared__ float partial[4];
  float value = x[threadIdx.x];
  for (int lanes = 16; lanes > 0; lanes /= 2) value += __shfl_xor_sync(0xffffffffu, value, lanes);
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = value;
  if (kBarrier) __syncthreads();
  if (threadIdx.x < 4) sum[threadIdx.x] = partial[0] + partial[1] + partial[2] + partial[3];
}

template <bool kBarrier>
__global__ void Reverse(float* x) {
  TL_DYNAMIC_SHARED(float, tile);
  for (int round = 0; round < 2; ++round) {
    tile[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    x[threadIdx.x] = tile[blockDim.x - 1 - threadIdx.x] + 1;
    if (kBarrier) __syncthreads();
  }
}

}  // namespace

void LaunchBlockSum(Stream& stream, const float* x, float* sum, bool barrier) {
  Launch(barrier ? BlockSum<true> : BlockSum<false>, 1, 128, 0, stream, x, sum);
}

void LaunchReverse(Stream& stream, float* x, bool barrier) {
  Launch(barrier ? Reverse<true> : Reverse<false>, 1, 128, 128 * sizeof(float), stream, x);
}

}  // namespace tl::cuda
