// SPDX-License-Identifier: Apache-2.0
// Single PTX instructions. Under g++ the machine in tests/simt supplies each of them.
//
// Fragments of mma.m16n8k16, with g = lane / 4 and t = lane % 4, two 16-bit values to a register,
// the lower column (of a) or row (of b) in the lower half:
//   a[0] row g,     columns 2t, 2t + 1      a[2] row g,     columns 2t + 8, 2t + 9
//   a[1] row g + 8, columns 2t, 2t + 1      a[3] row g + 8, columns 2t + 8, 2t + 9
//   b[0] rows 2t, 2t + 1, column g          b[1] rows 2t + 8, 2t + 9, column g
//   d[0], d[1] row g, columns 2t, 2t + 1    d[2], d[3] row g + 8, columns 2t, 2t + 1
// ldmatrix: lanes 8i .. 8i + 7 give the addresses of the eight 16-byte rows of matrix i; r[i] is
// row g, columns 2t, 2t + 1 of matrix i, or with Trans rows 2t, 2t + 1, column g.
#pragma once

#include <cstdint>

#include "kernels/cuda/launch.h"

#if defined(TL_SIMT)
#include "tests/simt/ptx.h"
#else

namespace tl::cuda::ptx {

__device__ inline uint32_t SharedAddress(const void* shared) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(shared));
}

// Copies 16 bytes from global to shared memory behind the thread's back, zeros where !valid (global
// is then not read). Both addresses are multiples of 16. What was issued is visible to this thread
// after the CpAsyncWait that covers it, to others after a barrier that follows.
__device__ inline void CpAsync16(void* shared, const void* global, bool valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(SharedAddress(shared)),
               "l"(__cvta_generic_to_global(global)), "r"(valid ? 16 : 0)
               : "memory");
}

// Closes the group of copies issued since the last commit.
__device__ inline void CpAsyncCommit() { asm volatile("cp.async.commit_group;\n" ::: "memory"); }

// Waits until at most the N youngest groups are in flight.
template <int N>
__device__ inline void CpAsyncWait() {
  asm volatile("cp.async.wait_group %0;\n" ::"n"(N) : "memory");
}

__device__ inline void LdMatrixX4(uint32_t (&r)[4], const void* shared_row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(SharedAddress(shared_row))
               : "memory");
}

__device__ inline void LdMatrixX4Trans(uint32_t (&r)[4], const void* shared_row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(SharedAddress(shared_row))
               : "memory");
}

// d += a b, fp32 sums.
__device__ inline void MmaBf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};\n"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

__device__ inline void MmaFp16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};\n"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// A barrier of `threads` threads, whole warps; id 1 .. 15 (0 is __syncthreads).
__device__ inline void BarrierSync(int id, int threads) {
  asm volatile("bar.sync %0, %1;\n" ::"r"(id), "r"(threads) : "memory");
}

// Both return the old value.
__device__ inline float AtomicAdd(float* address, float value) { return atomicAdd(address, value); }
__device__ inline int AtomicAdd(int* address, int value) { return atomicAdd(address, value); }

// A flag between blocks: who reads a value sees what its writer, and those who met the writer at a
// barrier before, wrote to global memory.
__device__ inline int LoadAcquire(const int* flag) {
  int value;
  asm volatile("ld.acquire.gpu.global.s32 %0, [%1];\n"
               : "=r"(value)
               : "l"(__cvta_generic_to_global(flag))
               : "memory");
  return value;
}
__device__ inline void StoreRelease(int* flag, int value) {
  asm volatile("st.release.gpu.global.s32 [%0], %1;\n" ::"l"(__cvta_generic_to_global(flag)),
               "r"(value)
               : "memory");
}

}  // namespace tl::cuda::ptx

#endif
