// SPDX-License-Identifier: Apache-2.0
#include "engine/memory.h"

#include <gtest/gtest.h>

namespace tl {
namespace {

constexpr int64_t kGiB = int64_t{1} << 30;

TEST(Memory, PlansKeepRoomForCodeOnGpusAlone) {
  std::vector<MemoryRow> plan = {{"weights", 5}};
  AddCudaCode({DeviceType::kCpu, 0}, &plan);
  EXPECT_EQ(plan.size(), 1u);
  AddCudaCode({DeviceType::kCuda, 1}, &plan);
  ASSERT_EQ(plan.size(), 2u);
  EXPECT_NE(plan[1].name.find("(estimate)"), std::string::npos);
  EXPECT_EQ(plan[1].bytes, kCudaCodeBytes);
}

TEST(Memory, WhatWasTakenIsHeldAgainstThePlan) {
  EXPECT_EQ(
      Describe({.taken = 3 * kGiB, .planned = 3 * kGiB, .used = 4 * kGiB, .total = 80 * kGiB}),
      "3.00 GiB taken of 3.00 GiB planned; 4.00 GiB of 80.0 GiB used in all");
  EXPECT_EQ(
      Describe({.taken = 3 * kGiB, .planned = 2 * kGiB, .used = 4 * kGiB, .total = 80 * kGiB}),
      "3.00 GiB taken of 2.00 GiB planned; 4.00 GiB of 80.0 GiB used in all; the plan is 1.00 GiB "
      "too small");
}

}  // namespace
}  // namespace tl
