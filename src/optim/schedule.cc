// SPDX-License-Identifier: Apache-2.0
#include "optim/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace tl {

double Schedule::Rate(int64_t step) const {
  if (step < warmup_steps)
    return lr * static_cast<double>(step + 1) / static_cast<double>(warmup_steps);
  const auto part = [&](int64_t from) {
    const auto span = static_cast<double>(std::max<int64_t>(1, steps - from));
    return std::clamp(static_cast<double>(step - from) / span, 0.0, 1.0);
  };
  switch (kind) {
    case ScheduleKind::kConstant:
      return lr;
    case ScheduleKind::kCosine:
      return min_lr + (lr - min_lr) * 0.5 * (1.0 + std::cos(std::numbers::pi * part(warmup_steps)));
    case ScheduleKind::kLinear:
      return lr + (min_lr - lr) * part(warmup_steps);
    case ScheduleKind::kWsd: {
      const auto decay =
          static_cast<int64_t>(std::llround(decay_fraction * static_cast<double>(steps)));
      const int64_t from = std::max(warmup_steps, steps - decay);
      return step < from ? lr : lr + (min_lr - lr) * part(from);
    }
  }
  return lr;
}

Schedule MakeSchedule(const OptimizerConfig& o, int64_t steps) {
  return {.kind = o.schedule,
          .lr = o.lr,
          .min_lr = o.min_lr,
          .warmup_steps = o.warmup_steps,
          .steps = steps,
          .decay_fraction = o.decay_fraction};
}

}  // namespace tl
