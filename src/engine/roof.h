// SPDX-License-Identifier: Apache-2.0
// What this machine's products, copies and attention reach, measured in the same process as what is
// compared to it.
#pragma once

#include <cstdint>

#include "device/device.h"
#include "device/dtype.h"
#include "kernels/attention.h"

namespace tl {

// FLOP/s of square products of this type on all of this rank's device: the best of a few sizes, in
// about `seconds`. fp16 on a CPU is multiplied in fp32 and measured so.
double MeasureGemmRate(Stream& stream, DType compute, double seconds = 0.3);
// Of a copy of random numbers from one place of the device to another.
struct CopyRate {
  double bytes_per_second = 0.0;  // read plus written
  int64_t bytes = 0;              // copied at a time
};
// Copies 2 GiB, or less where ten copies of it take longer than `seconds` or `room`, the bytes of
// device memory that are free, does not hold both ends.
CopyRate MeasureCopyRate(Stream& stream, int64_t room, double seconds = 0.2);

struct AttentionShape {
  int64_t batch = 1, heads = 1, kv_heads = 1, length = 1, head_dim = 64;
  MaskKind mask = MaskKind::kCausal;  // or none
};
// FLOP/s, counted as 4 B H T^2 D forward and 2.5 times that backward, half of it where causal.
struct AttentionRates {
  double forward = 0.0, backward = 0.0;
};
AttentionRates MeasureAttention(Stream& stream, DType compute, const AttentionShape& shape,
                                double seconds = 0.2);

// FLOP/s of dense products that the maker of a known GPU promises: of the tensor cores for 16-bit
// types, of fp32 without them; 0: not known.
double DensePeak(Device device, DType compute);

}  // namespace tl
