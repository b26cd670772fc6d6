// SPDX-License-Identifier: Apache-2.0
// What calibration makes of its measurements: chances of paths, the number of drafts that is worth
// its time, and the file it writes.
#include "infer/calibration.h"

#include <gtest/gtest.h>

#include <cmath>

#include "infer/rank_statistics.h"

namespace tl {
namespace {

TEST(RankStatistics, CountsByHeadRankAndPath) {
  RankStatistics s(3, 4);
  for (int i = 0; i < 60; ++i) s.Add({0, 0});
  for (int i = 0; i < 20; ++i) s.Add({0, 1, 3});
  for (int i = 0; i < 10; ++i) s.Add({1});
  for (int i = 0; i < 10; ++i) s.Add({4});  // beyond the ranks that are told apart
  EXPECT_EQ(s.places(), 100);
  EXPECT_EQ(s.Reached(1), 100);
  EXPECT_EQ(s.Reached(2), 80);
  EXPECT_EQ(s.Reached(3), 20);
  EXPECT_DOUBLE_EQ(s.Chance(1, 0), 0.8);
  EXPECT_DOUBLE_EQ(s.Chance(1, 1), 0.1);
  EXPECT_DOUBLE_EQ(s.Chance(1, 2), 0.0);
  EXPECT_DOUBLE_EQ(s.Chance(2, 0), 0.75);
  EXPECT_DOUBLE_EQ(s.Chance(3, 3), 1.0);
  EXPECT_DOUBLE_EQ(s.ChainAlpha(1), 0.8);
  EXPECT_DOUBLE_EQ(s.ChainAlpha(2), 0.75);
  EXPECT_TRUE(std::isnan(s.ChainAlpha(3)));
  // Counted after the path, drawn towards the head's own by 20 imagined places.
  EXPECT_DOUBLE_EQ(s.PathChance({0}), 0.8);
  EXPECT_DOUBLE_EQ(s.PathChance({0, 1, 3}), 1.0);
  // Seldom or never seen paths go by the head's chance.
  EXPECT_DOUBLE_EQ(s.PathChance({3, 0}), 0.75);
  EXPECT_DOUBLE_EQ(s.PathChance({1, 1}), 0.25);
  s.Add({1, 1});
  EXPECT_DOUBLE_EQ(s.Chance(2, 1), 21.0 / 81.0);
  EXPECT_DOUBLE_EQ(s.PathChance({1, 1}), (1.0 + 20.0 * 21.0 / 81.0) / 21.0);
}

TEST(BestBudget, WeighsDraftsAgainstTime) {
  const std::vector<double> values = {0.8, 0.5, 0.3, 0.1};
  const std::vector<int> depths = {1, 2, 3, 1};
  const PassCosts free{.verify = {1, 1, 1, 1, 1}, .draft = {0, 0, 0, 0}};
  EXPECT_EQ(BestBudget(values, depths, free), 4);
  EXPECT_DOUBLE_EQ(PredictedSpeed(values, depths, free, 4), 2.7);
  // Each token more takes as long as the first: only likely ones pay, and at that not alone.
  const PassCosts linear{.verify = {1.0, 1.4, 1.9, 2.4, 2.9}, .draft = {0, 0, 0, 0}};
  EXPECT_EQ(BestBudget(values, depths, linear), 1);
  EXPECT_DOUBLE_EQ(PredictedSpeed(values, depths, linear, 1), 1.8 / 1.4);
  // The deepest head that drafts is paid for by all.
  const PassCosts deep{.verify = {1, 1, 1, 1, 1}, .draft = {0.0, 0.1, 0.2, 1.0}};
  EXPECT_EQ(BestBudget(values, depths, deep), 2);
  EXPECT_DOUBLE_EQ(PredictedSpeed(values, depths, deep, 2), 2.3 / 1.2);
  const PassCosts costly{.verify = {1, 2, 3, 4, 5}, .draft = {0, 0, 0, 0}};
  EXPECT_EQ(BestBudget(values, depths, costly), 0);
  EXPECT_DOUBLE_EQ(PredictedSpeed(values, depths, costly, 0), 1.0);
  EXPECT_DOUBLE_EQ(PredictedSpeed(values, depths, costly, 2), 2.3 / 3.0);
  // No more than was measured.
  const PassCosts narrow{.verify = {1, 1}, .draft = {0, 0, 0, 0}};
  EXPECT_EQ(BestBudget(values, depths, narrow), 1);
}

Calibration Example() {
  Calibration c{.checkpoint = "step_00000040", .compute = "bf16", .tensor = 2, .threads = 3};
  c.heads = {{.reached = 10, .by_rank = {0.5, 0.25}, .chain_alpha = 0.5},
             {.reached = 0, .by_rank = {0.0, 0.0}, .chain_alpha = std::nan("")}};
  c.costs = {.verify = {0.01, 0.011}, .draft = {0.0, 0.001, 0.002}};
  c.tree = TreeShape::Parse("2x1").value();
  c.values = {0.5, 0.25, 0.2, 0.1};
  c.predicted_tau = 2.05;
  c.predicted_speedup = 1.5;
  c.trials = {
      {.drafter = "none", .tokens_per_second = 100.0},
      {.drafter = "heads", .tree = true, .drafts = 4, .tau = 2.0, .tokens_per_second = 150.0},
      {.drafter = "heads", .drafts = 2, .tau = 1.7, .tokens_per_second = 140.0}};
  return c;
}

TEST(Calibration, ComesBackFromItsFile) {
  const Calibration c = Example();
  const Calibration again = ParseCalibration(WriteCalibration(c), "c.json").value();
  EXPECT_EQ(again.checkpoint, c.checkpoint);
  EXPECT_EQ(again.compute, c.compute);
  EXPECT_EQ(again.tensor, c.tensor);
  EXPECT_EQ(again.threads, c.threads);
  EXPECT_EQ(again.predicted_speedup, c.predicted_speedup);
  EXPECT_EQ(again.predicted_tau, c.predicted_tau);
  EXPECT_EQ(again.trials, c.trials);
  ASSERT_EQ(again.tree.size(), 4);
  for (int node = 0; node < 4; ++node) EXPECT_EQ(again.tree.Path(node), c.tree.Path(node));
  EXPECT_EQ(again.Fastest().tokens_per_second, 150.0);
  EXPECT_EQ(again.Find("heads", false)->drafts, 2);
  EXPECT_EQ(again.Find("lookup", false), nullptr);
  EXPECT_EQ(Describe(c.Fastest(), 100.0),
            "heads with a tree of 4: tau 2.000, 150.0 tok/s, 1.50x plain");
}

TEST(Calibration, BadFilesAreRefused) {
  const auto refuse = [](std::string from, const std::string& to, const std::string& part) {
    std::string text = WriteCalibration(Example());
    const size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    text.replace(at, from.size(), to);
    const auto status = ParseCalibration(text, "c.json").status();
    EXPECT_EQ(status.message().substr(0, 6), "c.json") << status.message();
    EXPECT_NE(status.message().find(part), std::string::npos) << status.message();
  };
  refuse("calibration 1", "calibration 2", "format: expected trunkline calibration 1");
  refuse("\"tree\":", "\"trees\":", "tree: expected a list of paths, found nothing");
  refuse("\"tensor\": 2", "\"tensor\": -2", "tensor: expected a number of things");
  refuse("\"tensor\": 2", "\"tensor\": \"2\"", "tensor: expected a number");
  refuse("\"tensor\": 2", "\"tensor\": 1e300", "tensor: expected a number");
  refuse("\"tau\": 2.0", "\"tau\": null", "trials: tau: expected a number, found null");
  refuse("\"none\"", "\"nobody\"", "trials: expected one of none");
  refuse("{", "", "");
  std::string text = WriteCalibration(Example());
  const size_t begin = text.find("\"tree\": ["), end = text.find("\"tree_acceptance\"");
  for (const char* tree : {"[[0,1]]", "[[0],[0]]", "[0]", "[[\"0\"]]", "[[0.5]]", "[[-1]]",
                           "[[99999999999]]", "[{}]"}) {
    std::string bad = text;
    bad.replace(begin, end - begin, std::string("\"tree\": ") + tree + ", ");
    const auto status = ParseCalibration(bad, "c.json").status();
    EXPECT_EQ(status.message().substr(0, 13), "c.json: tree:") << status.message();
  }
  EXPECT_FALSE(ParseCalibration("[]", "c.json").ok());
  EXPECT_FALSE(ReadCalibration("/nowhere/c.json").ok());
}

}  // namespace
}  // namespace tl
