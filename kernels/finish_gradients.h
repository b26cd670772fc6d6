// SPDX-License-Identifier: Apache-2.0
// The decision of a step, made on the device: clip, unscale, or skip.
#pragma once

#include "kernels/dispatch.h"
#include "kernels/step_scalars.h"

namespace tl {

// From sums = (sum of squares of the scaled gradients, count of non-finite ones), over all ranks:
//   grad_norm = sqrt(sums[0]) / loss_scale, or NaN where sums[1] > 0: there is no norm of the rest;
//   skip = grad_norm is not finite;
//   grad_factor = min(1, clip / (grad_norm + 1e-6)) / loss_scale, clip = 0 or
//   no norm: no clipping.
struct FinishGradientsArgs {
  StepScalars* scalars = nullptr;  // on the stream's device
  Tensor sums;                     // fp32 [2]
  float clip = 0.0f;
};
TL_DECLARE_OP(FinishGradients);

}  // namespace tl
