// SPDX-License-Identifier: Apache-2.0
// The loss of a regression of rows on rows, by sample.
#pragma once

#include "kernels/dispatch.h"
#include "kernels/sample_rows.h"

namespace tl {

// losses[b] = w_b / D sum of (y - t)^2 over the rows of sample b that are here, D = rows_per_sample
// x P, the elements of the whole sample: summed over the ranks that share a sample, it is its loss.
// dy = 2 scale w_b / D (y - t), scale = *grad_scale (loss scale x objective's weight / number of
// samples of the step). y, t: fp32 [rows, P]; dy: compute type or fp32, [rows, P]; null, with
// grad_scale: not computed; it may alias y or t where it is fp32. weights, losses: fp32 [B]; losses
// are overwritten, 0 for samples without rows here. A sample of weight 0 has loss and gradient 0
// whatever y is. All contiguous. A sample's sum is added in an order that depends on which rows of
// it are here, and on nothing else.
struct SquaredErrorArgs {
  Tensor losses;
  Tensor dy = {};
  Tensor y;
  Tensor target;
  Tensor weights;
  Tensor grad_scale = {};  // fp32 [1], on the device
  SampleRows samples;
};
TL_DECLARE_OP(SquaredError);

// Losses summed over samples, apart for four ranges that tell samples from each other: quarters of
// the noise, from the lowest.
inline constexpr int64_t kLossRanges = 4;
struct RangeSums {
  double losses[kLossRanges];
  double samples[kLossRanges];
};
inline constexpr int64_t kRangeSums = sizeof(RangeSums) / sizeof(double);

// sums.losses[k] += losses[b] and sums.samples[k] += 1 for every b with ranges[b] == k. What is not
// in [0, kLossRanges) is not counted. Added in an order that depends on B alone. Losses are whole
// by now: ranks that share samples have summed them.
struct SumByRangeArgs {
  Tensor sums;    // fp64 [kRangeSums], see RangeSums; added to
  Tensor losses;  // fp32 [B]
  Tensor ranges;  // int32 [B]
};
TL_DECLARE_OP(SumByRange);

}  // namespace tl
