// SPDX-License-Identifier: Apache-2.0
// Learning rate as a function of the step.
#pragma once

#include <cstdint>

#include "config/optimizer.h"

namespace tl {

struct Schedule {
  ScheduleKind kind = ScheduleKind::kCosine;
  double lr = 3e-4;
  double min_lr = 0.0;
  int64_t warmup_steps = 0;
  int64_t steps = 0;            // of the whole run
  double decay_fraction = 0.2;  // wsd: the part of the steps that decays, at the end

  // The rate of step t = 0, 1, ...: lr (t + 1) / warmup in warm-up; then with x in [0, 1] the part
  // of the remaining steps that is over,
  //   constant  lr
  //   cosine    min + (lr - min) (1 + cos pi x) / 2
  //   linear    lr + (min - lr) x
  //   wsd       lr, then linear to min over the last decay_fraction of all steps.
  double Rate(int64_t step) const;
};

Schedule MakeSchedule(const OptimizerConfig& optimizer, int64_t steps);

}  // namespace tl
