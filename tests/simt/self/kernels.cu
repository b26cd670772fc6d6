// SPDX-License-Identifier: Apache-2.0
#include "tests/simt/self/kernels.h"

namespace tl::cuda {
namespace {

constexpr unsigned kAll = 0xffffffffu;

__global__ void SumBlockKernel(const float* x, float* sum, Fault fault) {
  __shared__ float partial[4];
  float value = x[threadIdx.x];
  for (int lanes = 16; lanes > 0; lanes /= 2) value += __shfl_xor_sync(kAll, value, lanes);
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = value;
  if (fault == Fault::kThreadGone && threadIdx.x >= 64) return;
  if (fault != Fault::kNoBarrier) __syncthreads();
  if (threadIdx.x < 4) sum[threadIdx.x] = partial[0] + partial[1] + partial[2] + partial[3];
}

__global__ void ReverseKernel(float* x, Fault fault) {
  TL_DYNAMIC_SHARED(float, tile);
  const int i = static_cast<int>(threadIdx.x), skip = fault == Fault::kOverrun    ? 1
                                                      : fault == Fault::kUnderrun ? -1
                                                                                  : 0;
  for (int round = 0; round < 2; ++round) {
    if (fault != Fault::kUnwritten || i != 5) tile[i + skip] = x[i];
    __syncthreads();
    x[i] = tile[127 - i] + 1;
    if (fault != Fault::kNoSecondBarrier) __syncthreads();
  }
}

__global__ void PipelineKernel(const float* x, float* y, Fault fault) {
  __shared__ __align__(16) float buffer[2][128];
  const int skew = fault == Fault::kMisaligned ? 1 : 0;
  const auto load = [&](int chunk) {
    if (threadIdx.x < 32 && chunk < 4)
      ptx::CpAsync16(buffer[chunk % 2] + 4 * threadIdx.x, x + 128 * chunk + 4 * threadIdx.x + skew,
                     true);
    ptx::CpAsyncCommit();
  };
  load(0);
  for (int chunk = 0; chunk < 4; ++chunk) {
    load(chunk + 1);
    if (fault == Fault::kWaitTooFew) {
      ptx::CpAsyncWait<2>();
    } else if (fault != Fault::kNoWait) {
      ptx::CpAsyncWait<1>();
    }
    if (fault != Fault::kNoBarrier) __syncthreads();
    y[128 * chunk + threadIdx.x] = buffer[chunk % 2][(threadIdx.x + 1) % 128] + 1;
    if (fault != Fault::kNoSecondBarrier) __syncthreads();
  }
  if (fault == Fault::kNeverWaits) {
    load(0);
  } else {
    ptx::CpAsyncWait<0>();
  }
}

__device__ inline uint32_t PairOf(uint16_t low, uint16_t high) {
  return uint32_t{high} << 16 | low;
}

template <class T>
__global__ void ProductKernel(const T* a, const T* b, float* d, bool ldmatrix, Fault fault) {
  __shared__ __align__(16) uint16_t as[16][16];
  __shared__ __align__(16) uint16_t bs[16][8];
  const int lane = threadIdx.x, g = lane / 4, t = lane % 4;
  for (int i = lane; i < 256; i += 32) as[i / 16][i % 16] = reinterpret_cast<const uint16_t*>(a)[i];
  for (int i = lane; i < 128; i += 32) bs[i / 8][i % 8] = reinterpret_cast<const uint16_t*>(b)[i];
  __syncthreads();
  uint32_t x[4], y[4];
  if (ldmatrix) {
    // Matrices in the order of a's registers: rows 0..7 and 8..15 of the left half, then the right.
    const int row = lane % 16, column = fault == Fault::kWrongFragment ? 0 : lane / 16 * 8;
    ptx::LdMatrixX4(x, &as[row][column + (fault == Fault::kMisaligned ? 1 : 0)]);
    // b's two, and again: y[2] and y[3] are not used.
    ptx::LdMatrixX4Trans(y, &bs[lane % 16][0]);
  } else {
    for (int i = 0; i < 4; ++i) {
      const uint16_t* from = &as[g + i % 2 * 8][2 * t + i / 2 * 8];
      x[i] = PairOf(from[0], from[1]);
    }
    if (fault == Fault::kWrongFragment) {
      const uint32_t first = x[1];
      x[1] = x[2];
      x[2] = first;
    }
    for (int i = 0; i < 2; ++i) y[i] = PairOf(bs[2 * t + 8 * i][g], bs[2 * t + 8 * i + 1][g]);
  }
  const uint32_t b_pair[2] = {y[0], y[1]};
  float sum[4] = {};
  if constexpr (std::is_same_v<T, __half>) {
    ptx::MmaFp16(sum, x, b_pair);
  } else {
    ptx::MmaBf16(sum, x, b_pair);
  }
  for (int i = 0; i < 4; ++i) d[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = sum[i];
}

__global__ void SwapPairsKernel(const float* x, float* y, Fault fault) {
  __shared__ float pair[32];
  pair[threadIdx.x] = x[threadIdx.x];
  if (fault != Fault::kNoBarrier) __syncwarp();
  y[threadIdx.x] = pair[threadIdx.x ^ 1];
}

__global__ void HandOverKernel(const float* x, float* y, Fault fault) {
  __shared__ float line[32];
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  if (warp == 0) {
    line[lane] = x[lane];
    if (fault != Fault::kNoBarrier) ptx::BarrierSync(fault == Fault::kWrongBarrier ? 2 : 1, 64);
  } else if (warp == 1) {
    if (fault != Fault::kNoBarrier) ptx::BarrierSync(1, 64);
    y[lane] = line[31 - lane];
  }
}

__global__ void SumHalvesKernel(const float* x, float* y, Fault fault) {
  const int half = threadIdx.x / 16;
  const unsigned mask = 0xffffu << (16 * half);
  if (fault == Fault::kLaneGone && threadIdx.x == 3) return;
  if (fault == Fault::kDiverges && half == 0) {
    __ballot_sync(kAll, 1);
  } else if (fault == Fault::kDiverges) {
    __syncwarp();
  }
  float value = x[threadIdx.x];
  if (half == 0) {
    for (int lanes = 8; lanes > 0; lanes /= 2) value += __shfl_down_sync(mask, value, lanes, 16);
    if (threadIdx.x == 0) y[0] = value * __popc(__ballot_sync(1u, 1));
  } else {
    for (int lanes = 8; lanes > 0; lanes /= 2) value += __shfl_xor_sync(mask, value, lanes);
    if (__all_sync(mask, 1) && threadIdx.x == 16) y[1] = value;
  }
}

__global__ void CountKernel(int* count) {
  __shared__ int mine;
  if (threadIdx.x == 0) mine = 0;
  __syncthreads();
  ptx::AtomicAdd(&mine, 1);
  // A warp may be partial here.
  const float lanes = __shfl_sync(kAll, 1.0f, 0);
  __syncthreads();
  if (threadIdx.x == 0) ptx::AtomicAdd(count, mine * static_cast<int>(lanes));
}

__global__ void CopyFloatsKernel(const float* x, float* y, int n, Fault fault) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (n % 4 == 0) {
    if (4 * i < n) reinterpret_cast<float4*>(y)[i] = reinterpret_cast<const float4*>(x)[i];
  } else if (i < n || (fault == Fault::kOverrun && i == n)) {
    y[i] = i < n ? x[i] : 0.0f;
  }
}

__global__ void AddOneKernel(float* x, int n) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) x[i] += 1;
}

__global__ void StridedKernel(const float* x, float* y, int stride) {
  __shared__ float words[32 * 32];
  const int i = static_cast<int>(threadIdx.x);
  words[i * stride] = x[i * stride];
  __syncwarp();
  y[i] = words[i * stride];
}

// flags: a ticket, then a flag for each block.
__global__ void ChainKernel(float* x, int* flags, Fault fault) {
  if (threadIdx.x != 0) return;
  const int block = ptx::AtomicAdd(flags, 1);
  const int wanted = fault == Fault::kNoWait ? 2 : 1;
  if (block > 0) {
    while (ptx::LoadAcquire(flags + block) != wanted) {
    }
  }
  x[block] = block == 0 ? 1.0f : 1.0f + x[block - 1];
  ptx::StoreRelease(flags + 1 + block, 1);
}

}  // namespace

void SumBlock(Stream& stream, const float* x, float* sum, Fault fault) {
  Launch(SumBlockKernel, 1, 128, 0, stream, x, sum, fault);
}
void ReverseTwice(Stream& stream, float* x, Fault fault) {
  Launch(ReverseKernel, 1, 128, 128 * sizeof(float), stream, x, fault);
}
void Pipeline(Stream& stream, const float* x, float* y, Fault fault) {
  Launch(PipelineKernel, 1, 128, 0, stream, x, y, fault);
}
void Product(Stream& stream, const __nv_bfloat16* a, const __nv_bfloat16* b, float* d,
             bool ldmatrix, Fault fault) {
  Launch(ProductKernel<__nv_bfloat16>, 1, 32, 0, stream, a, b, d, ldmatrix, fault);
}
void ProductFp16(Stream& stream, const __half* a, const __half* b, float* d) {
  Launch(ProductKernel<__half>, 1, 32, 0, stream, a, b, d, true, Fault::kNone);
}
void SwapPairs(Stream& stream, const float* x, float* y, Fault fault) {
  Launch(SwapPairsKernel, 1, 32, 0, stream, x, y, fault);
}
void HandOver(Stream& stream, const float* x, float* y, Fault fault) {
  Launch(HandOverKernel, 1, 128, 0, stream, x, y, fault);
}
void SumHalves(Stream& stream, const float* x, float* y, Fault fault) {
  Launch(SumHalvesKernel, 1, 32, 0, stream, x, y, fault);
}
void Count(Stream& stream, int blocks, int threads, int* count) {
  Launch(CountKernel, blocks, threads, 0, stream, count);
}
void CopyFloats(Stream& stream, const float* x, float* y, int n, int skew, Fault fault) {
  Launch(CopyFloatsKernel, (n + 64) / 64, 64, 0, stream, x + skew, y, n, fault);
}
void AddOne(Stream& stream, float* x, int n) {
  Launch(AddOneKernel, (n + 127) / 128, 128, 0, stream, x, n);
}
const void* AddOneKernelOf() {
  simt::Declare(AddOneKernel);
  return reinterpret_cast<const void*>(AddOneKernel);
}
void Strided(Stream& stream, const float* x, float* y, int stride) {
  Launch(StridedKernel, 1, 32, 0, stream, x, y, stride);
}
void Chain(Stream& stream, float* x, int* flags, int blocks, Fault fault) {
  Launch(ChainKernel, blocks, 32, 0, stream, x, flags, fault);
}

}  // namespace tl::cuda
