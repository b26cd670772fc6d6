// What this machine's matrix products reach, measured in the same process as what is compared to
// it.
#pragma once

#include "device/device.h"
#include "device/dtype.h"

namespace tl {

// FLOP/s of square products of this type on all threads of this rank: the best of a few sizes, in
// about `seconds`. fp16 on a CPU is multiplied in fp32 and measured so.
double MeasureGemmRate(Stream& stream, DType compute, double seconds = 0.3);
// Bytes read plus written per second by a large copy on all threads.
double MeasureCopyRate(Stream& stream, double seconds = 0.2);

}  // namespace tl
