// SPDX-License-Identifier: Apache-2.0
// What the memory-bound CUDA kernels share: element types, 16-byte vectors, row views and sums in a
// fixed order.
#pragma once

#include <cstdint>
#include <type_traits>

#include "base/check.h"
#include "device/tensor.h"
#include "kernels/cuda/launch.h"

namespace tl::cuda {

constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xffffffffu;

// Elements of a 16-byte vector.
template <typename T>
constexpr int kVector = 16 / static_cast<int>(sizeof(T));

// A number known to the compiler, on the host and in kernels.
template <int N>
struct Int {
  static constexpr int value = N;
  __host__ __device__ constexpr operator int() const { return N; }
};

template <typename A, typename B>
__host__ __device__ constexpr auto CeilDiv(A a, B b) {
  return (a + b - 1) / b;
}

// ---- Elements ----

__device__ inline float Widen(float x) { return x; }
__device__ inline float Widen(BF16 x) { return __bfloat162float(__ushort_as_bfloat16(x.bits)); }
__device__ inline float Widen(F16 x) { return __half2float(__ushort_as_half(x.bits)); }

// Round to nearest even; NaN stays NaN.
template <typename T>
__device__ inline T Narrow(float x) {
  if constexpr (std::is_same_v<T, BF16>) {
    return BF16{__bfloat16_as_ushort(__float2bfloat16_rn(x))};
  } else if constexpr (std::is_same_v<T, F16>) {
    return F16{__half_as_ushort(__float2half_rn(x))};
  } else {
    return x;
  }
}

// N elements that move together, in accesses of 16 bytes at most.
template <typename T, int N>
struct alignas(sizeof(T) * N < 16 ? sizeof(T) * N : 16) Pack {
  T v[N];
};

template <int N, typename T>
__device__ inline Pack<T, N> LoadPack(const T* p) {
  return *reinterpret_cast<const Pack<T, N>*>(p);
}
template <typename T, int N>
__device__ inline void StorePack(T* p, const Pack<T, N>& x) {
  *reinterpret_cast<Pack<T, N>*>(p) = x;
}

template <typename T, int N>
__device__ inline Pack<float, N> Widen(const Pack<T, N>& x) {
  Pack<float, N> out;
#pragma unroll
  for (int k = 0; k < N; ++k) out.v[k] = Widen(x.v[k]);
  return out;
}
template <typename T, int N>
__device__ inline Pack<T, N> Narrow(const Pack<float, N>& x) {
  Pack<T, N> out;
#pragma unroll
  for (int k = 0; k < N; ++k) out.v[k] = Narrow<T>(x.v[k]);
  return out;
}

template <int N, typename T>
__device__ inline Pack<float, N> LoadF(const T* p) {
  return Widen(LoadPack<N>(p));
}
template <typename T, int N>
__device__ inline void StoreF(T* p, const Pack<float, N>& x) {
  StorePack(p, Narrow<T>(x));
}

// Calls f(i, Int<N>) for this thread's N elements of [0, n), and f(i, Int<1>) for the rest where
// fewer are left. The grid has a thread for every N elements.
template <int N, class F>
__device__ inline void ForElements(int64_t n, const F& f) {
  int64_t i = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * N;
  if (i + N <= n) {
    f(i, Int<N>());
  } else {
    for (; i < n; ++i) f(i, Int<1>());
  }
}

// The vectors along the last axis of a [rows, width] or [rows, heads, width] view, as one list.
template <typename T>
struct Rows {
  T* data = nullptr;
  int64_t row_stride = 0;
  int64_t head_stride = 0;
  int64_t heads = 1;

  Rows() = default;
  explicit Rows(const Tensor& t) : data(t.as<T>()), row_stride(t.strides[0]) {
    if (t.rank() != 3) return;
    heads = t.shape[1];
    head_stride = t.strides[1];
  }
  __device__ T* operator[](int64_t i) const {
    if (heads == 1) return data + i * row_stride;
    return data + i / heads * row_stride + i % heads * head_stride;
  }
};

// ---- Sums, in an order that depends on kTeam alone ----

// kTeam threads that lie together, a power of two up to a warp, each receive the sum over them. All
// lanes of the warp must come.
template <int kTeam = kWarp>
__device__ inline float WarpSum(float x) {
#pragma unroll
  for (int step = kTeam / 2; step > 0; step /= 2) x += __shfl_xor_sync(kAllLanes, x, step);
  return x;
}

// Every thread of a block of kThreads receives the sum over all of them. shared: one float a warp;
// it may be used again at once.
template <int kThreads>
__device__ inline float BlockSum(float x, float* shared) {
  x = WarpSum(x);
  if (threadIdx.x % kWarp == 0) shared[threadIdx.x / kWarp] = x;
  __syncthreads();
  float sum = shared[0];
#pragma unroll
  for (int warp = 1; warp < kThreads / kWarp; ++warp) sum += shared[warp];
  __syncthreads();
  return sum;
}

// Part of a warp or a whole block.
template <int kTeam>
__device__ inline float TeamSum(float x, float* shared) {
  if constexpr (kTeam <= kWarp) {
    return WarpSum<kTeam>(x);
  } else {
    return BlockSum<kTeam>(x, shared);
  }
}

// ---- Launchers ----

// Calls f with a value of the C++ type of a float dtype.
template <class F>
void WithFloatType(DType dtype, const F& f) {
  switch (dtype) {
    case DType::kF32:
      return f(float{});
    case DType::kBF16:
      return f(BF16{});
    case DType::kF16:
      return f(F16{});
    default:
      TL_CHECK(false) << "expected fp32, bf16 or fp16, found " << Name(dtype);
  }
}

// Calls f with Int<N>() or, where vectors cannot be used, Int<1>().
template <int N, class F>
void WithVector(bool vectors, const F& f) {
  if (vectors) {
    f(Int<N>());
  } else {
    f(Int<1>());
  }
}

// Vectors can be used from every start along the last axis that is a multiple of 16 bytes. A null
// tensor never stands in the way.
inline bool Aligned(const Tensor& t) {
  if (reinterpret_cast<uintptr_t>(t.data) % 16 != 0) return false;
  for (int axis = 0; axis + 1 < t.rank(); ++axis) {
    if (t.strides[axis] * static_cast<int64_t>(SizeOf(t.dtype)) % 16 != 0) return false;
  }
  return true;
}
template <class... Tensors>
bool Aligned(const Tensor& first, const Tensors&... rest) {
  return Aligned(first) && Aligned(rest...);
}

inline dim3 Blocks(int64_t count) {
  TL_CHECK(0 <= count && count < (int64_t{1} << 31)) << count << " blocks";
  return dim3(static_cast<unsigned>(count));
}

}  // namespace tl::cuda
