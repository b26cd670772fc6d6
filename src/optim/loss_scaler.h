// SPDX-License-Identifier: Apache-2.0
// Dynamic loss scaling for fp16 (Micikevicius et al. 2018): the loss gradient is multiplied by a
// scale that keeps small gradients representable, and falls when some gradient overflows.
#pragma once

#include <algorithm>
#include <cstdint>

namespace tl {

struct LossScaler {
  // Settings.
  bool dynamic = false;
  double growth_factor = 2.0;
  double backoff_factor = 0.5;
  int64_t growth_interval = 1000;  // clean steps in a row before the scale grows
  int64_t hysteresis = 1;          // overflows, since the last growth, before the scale falls
  double min_scale = 1.0;
  // State, saved with a run.
  double scale = 1.0;
  int64_t clean_steps = 0;
  int64_t hysteresis_left = 1;

  // After a step; overflow is the same on all ranks.
  void Update(bool overflow) {
    if (!dynamic) return;
    if (overflow) {
      clean_steps = 0;
      if (--hysteresis_left <= 0) scale = std::max(min_scale, scale * backoff_factor);
      return;
    }
    if (++clean_steps < growth_interval) return;
    clean_steps = 0;
    hysteresis_left = hysteresis;
    scale = std::min(scale * growth_factor, 0x1p60);
  }
};

}  // namespace tl
