// SPDX-License-Identifier: Apache-2.0
// What a kernel finds when g++ compiles it for the machine: CUDA's built-in variables and
// functions. Included by kernels/cuda/launch.h after the CUDA headers.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

namespace tl::simt {

// Constant within a thread, so that the compiler may keep them.
__attribute__((const)) uint3 ThreadIndex();
__attribute__((const)) uint3 BlockIndex();
__attribute__((const)) uint3 BlockShape();
__attribute__((const)) uint3 GridShape();

void SyncThreads();
void SyncWarp(uint32_t mask);
uint64_t Shuffle(uint32_t mask, uint64_t bits, int source_lane);
uint32_t Ballot(uint32_t mask, bool predicate);
int Lane();
void* DynamicShared();
uint64_t Atomic(void* address, size_t bytes, uint64_t (*update)(uint64_t old, uint64_t operand),
                uint64_t operand);

// A kernel's arguments lie one after the other, each aligned as its type is; threads read them
// where they lie, outside of the device's memory.
struct Parameter {
  size_t offset, bytes;
};
using KernelCall = void (*)(void* kernel, const std::byte* arguments);

template <class... P>
constexpr std::array<Parameter, sizeof...(P)> ParametersOf() {
  size_t end = 0;
  const auto next = [&](size_t bytes, size_t alignment) {
    const size_t offset = (end + alignment - 1) / alignment * alignment;
    end = offset + bytes;
    return Parameter{offset, bytes};
  };
  return {next(sizeof(P), alignof(P))...};
}

template <class... P, size_t... I>
void CallKernel(void* kernel, [[maybe_unused]] const std::byte* arguments,
                std::index_sequence<I...>) {
  [[maybe_unused]] constexpr auto kParameters = ParametersOf<P...>();
  reinterpret_cast<void (*)(P...)>(kernel)(
      *reinterpret_cast<const P*>(arguments + kParameters[I].offset)...);
}

// Tells the runtime of a kernel, as nvcc's code does when a program starts.
void Declare(const void* kernel, const Parameter* parameters, size_t count, KernelCall call);
template <class... P>
void Declare(void (*kernel)(P...)) {
  static_assert((std::is_trivially_copyable_v<P> && ...), "kernels take plain values");
  constexpr auto kParameters = ParametersOf<P...>();
  Declare(reinterpret_cast<const void*>(kernel), kParameters.data(), kParameters.size(),
          [](void* f, const std::byte* arguments) {
            CallKernel<P...>(f, arguments, std::index_sequence_for<P...>{});
          });
}

template <class T>
uint64_t Bits(T value) {
  static_assert(sizeof(T) <= 8);
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  return bits;
}

template <class T>
T FromBits(uint64_t bits) {
  T value;
  std::memcpy(static_cast<void*>(&value), &bits, sizeof(T));
  return value;
}

template <class T, T (*F)(T, T)>
T AtomicUpdate(T* address, T operand) {
  constexpr auto kUpdate = [](uint64_t old, uint64_t x) {
    return Bits(F(FromBits<T>(old), FromBits<T>(x)));
  };
  return FromBits<T>(Atomic(address, sizeof(T), kUpdate, Bits(operand)));
}

template <class T>
T Sum(T a, T b) {
  return a + b;
}
template <class T>
T Larger(T a, T b) {
  return a < b ? b : a;
}
template <class T>
T Smaller(T a, T b) {
  return b < a ? b : a;
}

}  // namespace tl::simt

#undef __shared__
#define __shared__ thread_local
#undef __launch_bounds__
#define __launch_bounds__(...)
#undef threadIdx
#undef blockIdx
#undef blockDim
#undef gridDim
#define threadIdx (::tl::simt::ThreadIndex())
#define blockIdx (::tl::simt::BlockIndex())
#define blockDim (::tl::simt::BlockShape())
#define gridDim (::tl::simt::GridShape())
#define TL_DYNAMIC_SHARED(T, name) T* const name = static_cast<T*>(::tl::simt::DynamicShared())

inline constexpr int warpSize = 32;

inline void __syncthreads() { tl::simt::SyncThreads(); }
inline void __syncwarp(uint32_t mask = 0xffffffffu) { tl::simt::SyncWarp(mask); }
inline uint32_t __ballot_sync(uint32_t mask, int predicate) {
  return tl::simt::Ballot(mask, predicate != 0);
}
inline int __any_sync(uint32_t mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
inline int __all_sync(uint32_t mask, int predicate) { return __ballot_sync(mask, !predicate) == 0; }

template <class T>
T __shfl_sync(uint32_t mask, T value, int source, int width = 32) {
  const int segment = tl::simt::Lane() & ~(width - 1);
  return tl::simt::FromBits<T>(
      tl::simt::Shuffle(mask, tl::simt::Bits(value), segment + (source & (width - 1))));
}
template <class T>
T __shfl_xor_sync(uint32_t mask, T value, int lanes, int width = 32) {
  const int lane = tl::simt::Lane(), end = (lane & ~(width - 1)) + width;
  const int source = lane ^ lanes;
  return tl::simt::FromBits<T>(
      tl::simt::Shuffle(mask, tl::simt::Bits(value), source < end ? source : lane));
}
template <class T>
T __shfl_down_sync(uint32_t mask, T value, unsigned lanes, int width = 32) {
  const int lane = tl::simt::Lane(), end = (lane & ~(width - 1)) + width;
  const int source = lane + static_cast<int>(lanes);
  return tl::simt::FromBits<T>(
      tl::simt::Shuffle(mask, tl::simt::Bits(value), source < end ? source : lane));
}
template <class T>
T __shfl_up_sync(uint32_t mask, T value, unsigned lanes, int width = 32) {
  const int lane = tl::simt::Lane(), begin = lane & ~(width - 1);
  const int source = lane - static_cast<int>(lanes);
  return tl::simt::FromBits<T>(
      tl::simt::Shuffle(mask, tl::simt::Bits(value), source >= begin ? source : lane));
}

template <class T>
T atomicAdd(T* address, T value) {
  return tl::simt::AtomicUpdate<T, tl::simt::Sum<T>>(address, value);
}
template <class T>
T atomicMax(T* address, T value) {
  return tl::simt::AtomicUpdate<T, tl::simt::Larger<T>>(address, value);
}
template <class T>
T atomicMin(T* address, T value) {
  return tl::simt::AtomicUpdate<T, tl::simt::Smaller<T>>(address, value);
}

template <class T>
T __ldg(const T* address) {
  return *address;
}
inline void __threadfence() {}
inline int __popc(uint32_t x) { return __builtin_popcount(x); }
inline int __popcll(uint64_t x) { return __builtin_popcountll(x); }
inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz(static_cast<uint32_t>(x)); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline uint32_t __umulhi(uint32_t a, uint32_t b) {
  return static_cast<uint32_t>((uint64_t{a} * b) >> 32);
}
inline float __int_as_float(int x) { return tl::simt::FromBits<float>(tl::simt::Bits(x)); }
inline int __float_as_int(float x) { return tl::simt::FromBits<int>(tl::simt::Bits(x)); }
inline float __uint_as_float(uint32_t x) { return tl::simt::FromBits<float>(tl::simt::Bits(x)); }
inline uint32_t __float_as_uint(float x) { return tl::simt::FromBits<uint32_t>(tl::simt::Bits(x)); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline float __fsqrt_rn(float a) { return std::sqrt(a); }
inline float __frcp_rn(float a) { return 1.0f / a; }
inline int __float2int_rn(float a) { return static_cast<int>(std::nearbyint(a)); }
inline int __float2int_rz(float a) { return static_cast<int>(a); }
inline float __int2float_rn(int a) { return static_cast<float>(a); }
#if !defined(__CUDACC__)
inline float tl_simt_rsqrtf(float a) { return 1.0f / std::sqrt(a); }
#define rsqrtf tl_simt_rsqrtf
#define __expf(x) expf(x)
#define __logf(x) logf(x)
#define __log2f(x) log2f(x)
#define __frsqrt_rn(x) tl_simt_rsqrtf(x)
#endif

#define TL_SIMT_MIN_MAX(T)                            \
  constexpr T min(T a, T b) { return b < a ? b : a; } \
  constexpr T max(T a, T b) { return a < b ? b : a; }
TL_SIMT_MIN_MAX(int)
TL_SIMT_MIN_MAX(unsigned)
TL_SIMT_MIN_MAX(long)
TL_SIMT_MIN_MAX(unsigned long)
TL_SIMT_MIN_MAX(long long)
TL_SIMT_MIN_MAX(unsigned long long)
TL_SIMT_MIN_MAX(float)
TL_SIMT_MIN_MAX(double)
#undef TL_SIMT_MIN_MAX
