// SPDX-License-Identifier: Apache-2.0
#include "optim/loss_scaler.h"

#include <gtest/gtest.h>

namespace tl {
namespace {

LossScaler MakeScaler(int64_t hysteresis = 1) {
  return {.dynamic = true,
          .growth_interval = 3,
          .hysteresis = hysteresis,
          .min_scale = 2.0,
          .scale = 16.0,
          .hysteresis_left = hysteresis};
}

void Clean(LossScaler& scaler, int steps) {
  for (int i = 0; i < steps; ++i) scaler.Update(false);
}

TEST(LossScaler, GrowsAfterCleanSteps) {
  LossScaler s = MakeScaler();
  Clean(s, 2);
  EXPECT_EQ(s.scale, 16.0);
  Clean(s, 1);
  EXPECT_EQ(s.scale, 32.0);
  Clean(s, 3);
  EXPECT_EQ(s.scale, 64.0);
}

TEST(LossScaler, FallsOnOverflowAndCountsAnew) {
  LossScaler s = MakeScaler();
  Clean(s, 2);
  s.Update(true);
  EXPECT_EQ(s.scale, 8.0);
  Clean(s, 2);
  EXPECT_EQ(s.scale, 8.0);
  Clean(s, 1);
  EXPECT_EQ(s.scale, 16.0);
}

TEST(LossScaler, StopsAtTheLeast) {
  LossScaler s = MakeScaler();
  for (int i = 0; i < 10; ++i) s.Update(true);
  EXPECT_EQ(s.scale, 2.0);
}

TEST(LossScaler, StopsAtTheMost) {
  LossScaler s = MakeScaler();
  s.scale = 0x1p59;
  Clean(s, 3);
  EXPECT_EQ(s.scale, 0x1p60);
  Clean(s, 3);
  EXPECT_EQ(s.scale, 0x1p60);
}

TEST(LossScaler, FactorsAreSettings) {
  LossScaler s = MakeScaler();
  s.growth_factor = 1.5;
  s.backoff_factor = 0.25;
  s.Update(true);
  EXPECT_EQ(s.scale, 4.0);
  Clean(s, 3);
  EXPECT_EQ(s.scale, 6.0);
}

// The first overflows are let pass; once used up, only growth brings the patience back.
TEST(LossScaler, Hysteresis) {
  LossScaler s = MakeScaler(3);
  s.Update(true);
  Clean(s, 1);
  s.Update(true);
  EXPECT_EQ(s.scale, 16.0);
  s.Update(true);
  EXPECT_EQ(s.scale, 8.0);
  s.Update(true);
  EXPECT_EQ(s.scale, 4.0);
  Clean(s, 3);
  EXPECT_EQ(s.scale, 8.0);
  s.Update(true);
  s.Update(true);
  EXPECT_EQ(s.scale, 8.0);
  s.Update(true);
  EXPECT_EQ(s.scale, 4.0);
}

TEST(LossScaler, AFixedScaleStays) {
  LossScaler s = MakeScaler();
  s.dynamic = false;
  s.Update(true);
  Clean(s, 10);
  EXPECT_EQ(s.scale, 16.0);
}

}  // namespace
}  // namespace tl
