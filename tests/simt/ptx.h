// SPDX-License-Identifier: Apache-2.0
// The machine's twins of the instructions in kernels/cuda/ptx.h, which tells what they do.
#pragma once

#include <cstdint>

#include "tests/simt/device_side.h"

namespace tl::cuda::ptx {

void CpAsync16(void* shared, const void* global, bool valid);
void CpAsyncCommit();
void CpAsyncWaitGroups(int left_in_flight);
template <int N>
void CpAsyncWait() {
  CpAsyncWaitGroups(N);
}

void LdMatrixX4(uint32_t (&r)[4], const void* shared_row);
void LdMatrixX4Trans(uint32_t (&r)[4], const void* shared_row);

void MmaBf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]);
void MmaFp16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]);

void BarrierSync(int id, int threads);

inline float AtomicAdd(float* address, float value) { return ::atomicAdd(address, value); }
inline int AtomicAdd(int* address, int value) { return ::atomicAdd(address, value); }

// A thread that reads a flag over and over waits for a value that no one will write: blocks run one
// after the other.
int LoadAcquire(const int* flag);
void StoreRelease(int* flag, int value);

}  // namespace tl::cuda::ptx
