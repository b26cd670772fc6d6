// SPDX-License-Identifier: Apache-2.0
#include "tests/simt/self/launch_kernels.h"

namespace tl::cuda {
namespace {

template <int number>
__global__ void StaticKernel(float* y, int dynamic_floats) {
  TL_DYNAMIC_SHARED(float, dynamic);
  __shared__ int begin[kThreadsOfStatic];
  __shared__ int end[kThreadsOfStatic];
  const int i = static_cast<int>(threadIdx.x);
  begin[i] = i;
  end[i] = kThreadsOfStatic - 1 - i;
  if (i == 0) dynamic[0] = dynamic[dynamic_floats - 1] = 0;
  __syncthreads();
  if (i == 5)
    y[0] = static_cast<float>(begin[7] + end[7]) + dynamic[0] + dynamic[dynamic_floats - 1];
}

__device__ int Mirrored(int i) {
  __shared__ int ends[2 * kThreadsOfStatic];
  ends[i] = kThreadsOfStatic - 1 - i;
  __syncthreads();
  return ends[7];
}

__global__ void CalleeKernel(float* y, int dynamic_floats) {
  TL_DYNAMIC_SHARED(float, dynamic);
  const int i = static_cast<int>(threadIdx.x);
  const int end = Mirrored(i);
  if (i != 7) return;
  dynamic[dynamic_floats - 1] = static_cast<float>(i + end);
  y[0] = dynamic[dynamic_floats - 1];
}

template <int bytes>
struct Bytes {
  char at[bytes];
};

template <int bytes>
__global__ void ArgumentsKernel(float* y, Bytes<bytes> x) {
  y[0] = x.at[bytes - 1];
}

using Static = void (*)(float*, int);
constexpr Static kStatic[] = {StaticKernel<0>, StaticKernel<1>, StaticKernel<2>, StaticKernel<3>,
                              StaticKernel<4>, StaticKernel<5>, StaticKernel<6>, StaticKernel<7>};

template <class... P>
const void* FunctionOf(void (*kernel)(P...)) {
  simt::Declare(kernel);
  return reinterpret_cast<const void*>(kernel);
}

}  // namespace

void SumStatic(Stream& stream, int number, float* y, size_t dynamic_bytes) {
  Launch(kStatic[number], 1, kThreadsOfStatic, dynamic_bytes, stream, y,
         static_cast<int>(dynamic_bytes / sizeof(float)));
}

const void* StaticKernelOf(int number) { return FunctionOf(kStatic[number]); }
const void* CalleeKernelOf() { return FunctionOf(CalleeKernel); }
const void* ArgumentsKernelOf(int bytes) {
  return bytes == 4096 ? FunctionOf(ArgumentsKernel<4088>) : FunctionOf(ArgumentsKernel<4096>);
}

}  // namespace tl::cuda
