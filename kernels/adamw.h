// SPDX-License-Identifier: Apache-2.0
// AdamW (Loshchilov and Hutter 2019) with unscaling, clipping, decay, the low-precision weight write
// and an average of weights in one pass over memory.
#pragma once

#include "kernels/dispatch.h"
#include "kernels/step_scalars.h"

namespace tl {

// With g = grad * scalars->grad_factor and t = scalars->adam_step:
//   m <- b1 m + (1-b1) g;   v <- b2 v + (1-b2) g^2;
//   p <- p - lr ( (m / (1-b1^t)) / (sqrt(v / (1-b2^t)) + eps) + weight_decay p ),
//   ema <- ema + scalars->ema_rate (p - ema),
// lr = scalars->lr * lr_scale. Changes nothing where scalars->skip != 0, nor where a head is given
// that this step does not train: decay alone would shrink it. All fp32 [n], contiguous; ema and
// weight are optional. weight: [n] bf16 or fp16 copy of p.
struct AdamWArgs {
  Tensor p;
  Tensor m;
  Tensor v;
  Tensor grad;
  Tensor weight = {};
  Tensor ema = {};
  const StepScalars* scalars = nullptr;  // on the stream's device
  float lr_scale = 1.0f;
  float beta1 = 0.9f;
  float beta2 = 0.95f;
  float eps = 1e-8f;
  float weight_decay = 0.0f;
  int head = -1;  // of the objective, without which none uses p; -1: p is shared
};
TL_DECLARE_OP(AdamW);

constexpr bool SkipsUpdate(const StepScalars& scalars, int head) {
  return scalars.skip != 0 || (head >= 0 && scalars.grad_scale[head] == 0.0f);
}

}  // namespace tl
