// SPDX-License-Identifier: Apache-2.0
// Learning rates by hand.
#include "optim/schedule.h"

#include <gtest/gtest.h>

namespace tl {
namespace {

Schedule MakeSchedule(ScheduleKind kind) {
  return {.kind = kind, .lr = 1.0, .min_lr = 0.1, .warmup_steps = 4, .steps = 24};
}

TEST(Schedule, WarmsUpToTheFullRate) {
  for (const auto kind : {ScheduleKind::kConstant, ScheduleKind::kCosine, ScheduleKind::kLinear,
                          ScheduleKind::kWsd}) {
    const Schedule s = MakeSchedule(kind);
    EXPECT_DOUBLE_EQ(s.Rate(0), 0.25);
    EXPECT_DOUBLE_EQ(s.Rate(1), 0.5);
    EXPECT_DOUBLE_EQ(s.Rate(2), 0.75);
    EXPECT_DOUBLE_EQ(s.Rate(3), 1.0);
    EXPECT_DOUBLE_EQ(s.Rate(4), 1.0);
  }
}

TEST(Schedule, Constant) {
  const Schedule s = MakeSchedule(ScheduleKind::kConstant);
  EXPECT_DOUBLE_EQ(s.Rate(14), 1.0);
  EXPECT_DOUBLE_EQ(s.Rate(23), 1.0);
  EXPECT_DOUBLE_EQ(s.Rate(1000), 1.0);
}

TEST(Schedule, Cosine) {
  const Schedule s = MakeSchedule(ScheduleKind::kCosine);
  EXPECT_NEAR(s.Rate(9), 0.1 + 0.9 * 0.5 * (1 + 0.70710678118654752), 1e-15);  // a quarter
  EXPECT_NEAR(s.Rate(14), 0.55, 1e-15);
  EXPECT_NEAR(s.Rate(19), 0.1 + 0.9 * 0.5 * (1 - 0.70710678118654752), 1e-15);
  EXPECT_NEAR(s.Rate(24), 0.1, 1e-15);
  EXPECT_NEAR(s.Rate(1000), 0.1, 1e-15);
}

TEST(Schedule, Linear) {
  const Schedule s = MakeSchedule(ScheduleKind::kLinear);
  EXPECT_DOUBLE_EQ(s.Rate(5), 0.955);
  EXPECT_DOUBLE_EQ(s.Rate(14), 0.55);
  EXPECT_DOUBLE_EQ(s.Rate(23), 0.145);
  EXPECT_DOUBLE_EQ(s.Rate(24), 0.1);
  EXPECT_DOUBLE_EQ(s.Rate(1000), 0.1);
}

TEST(Schedule, WarmupStableDecay) {
  Schedule s = MakeSchedule(ScheduleKind::kWsd);
  s.decay_fraction = 0.25;  // the last 6 steps
  EXPECT_DOUBLE_EQ(s.Rate(17), 1.0);
  EXPECT_DOUBLE_EQ(s.Rate(18), 1.0);
  EXPECT_DOUBLE_EQ(s.Rate(19), 0.85);
  EXPECT_DOUBLE_EQ(s.Rate(21), 0.55);
  EXPECT_DOUBLE_EQ(s.Rate(24), 0.1);
  s.decay_fraction = 0.0;
  EXPECT_DOUBLE_EQ(s.Rate(23), 1.0);
  s.decay_fraction = 1.0;  // from the end of the warm-up
  EXPECT_DOUBLE_EQ(s.Rate(14), 0.55);
}

TEST(Schedule, WithoutWarmup) {
  Schedule s = MakeSchedule(ScheduleKind::kLinear);
  s.warmup_steps = 0;
  EXPECT_DOUBLE_EQ(s.Rate(0), 1.0);
  EXPECT_DOUBLE_EQ(s.Rate(12), 0.55);
  s.warmup_steps = s.steps = 2;  // nothing but warm-up
  EXPECT_DOUBLE_EQ(s.Rate(0), 0.5);
  EXPECT_DOUBLE_EQ(s.Rate(1), 1.0);
  EXPECT_DOUBLE_EQ(s.Rate(2), 1.0);
}

}  // namespace
}  // namespace tl
