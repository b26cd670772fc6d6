// SPDX-License-Identifier: Apache-2.0
#include "train/time_limit.h"

#include <gtest/gtest.h>

namespace tl {
namespace {

TEST(TimeLimit, NoneIsNeverReached) {
  TimeLimit limit(Duration{0});
  limit.TurnEnds(1e9);
  EXPECT_FALSE(limit.Reached(1e9));
}

TEST(TimeLimit, LeavesTimeForATurnAndASave) {
  TimeLimit limit(Duration{1000});
  limit.TurnEnds(100);
  limit.TurnEnds(110);  // 10 s
  limit.TurnEnds(115);
  // No save yet: 1000 / 20 s, times 1.5.
  EXPECT_FALSE(limit.Reached(914));
  EXPECT_TRUE(limit.Reached(915));
  limit.Saved(20);
  EXPECT_FALSE(limit.Reached(959));
  EXPECT_TRUE(limit.Reached(960));
  limit.Saved(200);  // the disk has become slow
  EXPECT_FALSE(limit.Reached(689));
  EXPECT_TRUE(limit.Reached(690));
}

TEST(TimeLimit, AssumesAMinuteAtMostForTheFirstSave) {
  TimeLimit limit(Duration{100'000});
  EXPECT_FALSE(limit.Reached(99'909));
  EXPECT_TRUE(limit.Reached(99'910));
}

}  // namespace
}  // namespace tl
