// SPDX-License-Identifier: Apache-2.0
// What is asked about a CUDA device beyond cuda.h: who it is, and how much of its memory this
// process has.
#pragma once

#include <array>
#include <cstdint>

namespace tl::cuda {

// Returns what is the same for every process that sees the device.
std::array<uint8_t, 16> Uuid(int device);

// Makes it the calling thread's current device.
void MakeCurrent(int device);

// Counts this process's allocations as the plan does: now, and the most.
int64_t AllocatedBytes(int device);
int64_t PeakBytes(int device);

}  // namespace tl::cuda
