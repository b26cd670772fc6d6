// SPDX-License-Identifier: Apache-2.0
// The suite of verify_test.cc with a million draws per case.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/infer/distribution_suite.h"

namespace tl {
namespace {

constexpr int64_t kDraws = 1000000;

TEST(DistributionLong, OfThreeTokensIsTheModels) {
  for (const DistributionCase& c : LosslessCases()) {
    const DistributionOutcome outcome = RunDistributionCase(c, kDraws);
    RecordProperty(c.name, std::to_string(outcome.deviate));
    EXPECT_LT(outcome.deviate, 4.5) << c.name;
  }
}

TEST(DistributionLong, OfWrongRulesIsNoticed) {
  for (const DistributionCase& c : LossyCases())
    EXPECT_GT(RunDistributionCase(c, kDraws).deviate, 40.0) << c.name;
}

}  // namespace
}  // namespace tl
