// SPDX-License-Identifier: Apache-2.0
// Kernels that meet the driver's rules of a launch.
#pragma once

#include "kernels/cuda/launch.h"

namespace tl::cuda {

// y[0] = 127, through 1024 bytes of its own shared memory and the first and last float of
// dynamic_bytes. Kernels of different numbers, 0 to 7, are different to the driver.
void SumStatic(Stream& stream, int number, float* y, size_t dynamic_bytes);

// As kernels of the runtime. Parameters: float* y, int dynamic floats.
inline constexpr int kThreadsOfStatic = 128;
const void* StaticKernelOf(int number);
// The same sum; a function that it calls has the 1024 bytes.
const void* CalleeKernelOf();
// Parameters: float* y and as many bytes as make 4096, or 4104.
const void* ArgumentsKernelOf(int bytes);

}  // namespace tl::cuda
