// SPDX-License-Identifier: Apache-2.0
// Numbers that change from step to step. They live on the device, so that a step needs no host
// synchronisation and can be captured; kernels take a pointer.
#pragma once

#include <cstdint>

namespace tl {

// Heads of an objective, the main one included.
inline constexpr int kMaxHeads = 16;

struct StepScalars {
  float lr = 0.0f;
  float loss_scale = 1.0f;  // multiplied into the loss gradient
  // By head: loss_scale x head weight / count of its unmasked targets in the global batch.
  float grad_scale[kMaxHeads] = {};
  float grad_factor = 1.0f;  // clip coefficient / loss_scale
  float grad_norm = 0.0f;    // unscaled
  int32_t skip = 0;          // this update is skipped
  int32_t adam_step = 1;     // updates made so far + 1
  float ema_rate = 0.0f;     // 1 - decay of the average of weights
};

}  // namespace tl
