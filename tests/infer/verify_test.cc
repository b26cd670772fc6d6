// SPDX-License-Identifier: Apache-2.0
// Verification rules one by one, and the distribution of what they let through; verify_long_test.cc
// draws more.
#include "infer/verify.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/infer/distribution_suite.h"

namespace tl {
namespace {

constexpr int64_t kDraws = 20000;

TEST(Distribution, OfThreeTokensIsTheModels) {
  for (const DistributionCase& c : LosslessCases()) {
    const DistributionOutcome outcome = RunDistributionCase(c, kDraws);
    EXPECT_LT(outcome.deviate, 4.5) << c.name;
    if (c.shape != DraftShape::kNone) {
      EXPECT_GT(outcome.accepted, 0.1) << c.name;
    }
  }
}

TEST(Distribution, OfWrongRulesIsNoticed) {
  for (const DistributionCase& c : LossyCases())
    EXPECT_GT(RunDistributionCase(c, kDraws).deviate, 8.0) << c.name;
}

TEST(Distribution, RejectionTakesWhatPAndQShare) {
  const SamplingOptions s{.temperature = 1.0};
  const Tables tables(s);
  const Distribution p = tables.Model(kPrompt), q = tables.Draft(kPrompt);
  double shared = 0.0;
  for (int i = 0; i < kVocab; ++i) shared += std::min(p[i], q[i]);
  int64_t taken = 0;
  for (int64_t draw = 0; draw < kDraws; ++draw) {
    const UniformOf uniform = [&](int depth, Randomness use) {
      return UniformFor(7, draw, depth, use);
    };
    DraftTree tree;
    tree.distributions.push_back(q);
    tree.Add(DrawToken(q, uniform(0, Randomness::kDraft)), -1);
    taken +=
        static_cast<int64_t>(Verify(Verification::kRejection, tree, {p, p}, uniform).path.size());
  }
  const double sigma = std::sqrt(shared * (1.0 - shared) / static_cast<double>(kDraws));
  EXPECT_NEAR(static_cast<double>(taken) / static_cast<double>(kDraws), shared, 5.0 * sigma);
}

// Distributions with all on one token, as at temperature 0.
std::vector<Distribution> OneHot(const std::vector<int>& tokens) {
  std::vector<Distribution> distributions;
  for (const int token : tokens) {
    distributions.push_back({.p = std::vector<float>(kVocab)});
    distributions.back().p[static_cast<size_t>(token)] = 1.0f;
  }
  return distributions;
}

double Half(int, Randomness) { return 0.5; }

TEST(Verify, GreedyFollowsTheTree) {
  DraftTree tree;
  tree.Add(1, -1);  // 0
  tree.Add(2, -1);  // 1
  tree.Add(3, 1);   // 2
  tree.Add(4, 1);   // 3
  tree.Add(5, 3);   // 4
  EXPECT_EQ(tree.Depths(), (std::vector<int>{1, 1, 2, 2, 3}));
  EXPECT_FALSE(tree.chain());
  for (const Verification rule : {Verification::kMatch, Verification::kTypical}) {
    const Verdict taken = Verify(rule, tree, OneHot({2, 0, 4, 0, 6, 0}), Half);
    EXPECT_EQ(taken.path, (std::vector<int>{1, 3})) << Name(rule);
    EXPECT_EQ(taken.next, 6) << Name(rule);
    const Verdict all = Verify(rule, tree, OneHot({2, 0, 4, 0, 5, 7}), Half);
    EXPECT_EQ(all.path, (std::vector<int>{1, 3, 4})) << Name(rule);
    EXPECT_EQ(all.next, 7) << Name(rule);
    const Verdict none = Verify(rule, tree, OneHot({7, 0, 0, 0, 0, 0}), Half);
    EXPECT_TRUE(none.path.empty()) << Name(rule);
    EXPECT_EQ(none.next, 7) << Name(rule);
  }
}

TEST(Verify, TypicalTakesTheLongestThenTheLikelier) {
  DraftTree tree;
  tree.Add(0, -1);
  tree.Add(1, -1);
  // H = 1.09: the threshold is min(0.09, 0.3 exp(-1.09)) = 0.09.
  const Distribution p{.p = {0.3f, 0.4f, 0.3f, 0, 0, 0, 0, 0}};
  EXPECT_EQ(Verify(Verification::kTypical, tree, {p, p, p}, Half).path, (std::vector<int>{1}));
  tree.Add(2, 0);
  EXPECT_EQ(Verify(Verification::kTypical, tree, {p, p, p, p}, Half).path,
            (std::vector<int>{0, 2}));
  // Below the threshold nothing is taken, however long.
  const Distribution low{.p = {0.05f, 0.05f, 0.9f, 0, 0, 0, 0, 0}};
  EXPECT_TRUE(Verify(Verification::kTypical, tree, {low, p, p, p}, Half).path.empty());
}

TEST(Verify, NamesAreKnown) {
  for (const char* name : {"match", "rejection", "typical"})
    EXPECT_STREQ(Name(VerificationNamed(name).value()), name);
  const auto unknown = VerificationNamed("exact").status();
  EXPECT_NE(unknown.message().find("match, rejection, typical"), std::string::npos);
}

TEST(TokenDistribution, CutsAndNormalises) {
  const std::vector<float> logits = {std::log(0.1f), std::log(0.4f), std::log(0.3f),
                                     std::log(0.2f)};
  const auto expect = [&](const SamplingOptions& options, const std::vector<float>& distribution) {
    const Distribution found = TokenDistribution({logits}, options);
    for (size_t i = 0; i < distribution.size(); ++i)
      EXPECT_NEAR(found[static_cast<int64_t>(i)], distribution[i], 1e-6);
  };
  expect({.temperature = 1.0}, {0.1f, 0.4f, 0.3f, 0.2f});
  expect({.temperature = 0.0}, {0, 1, 0, 0});
  expect({.temperature = 1.0, .top_k = 2}, {0, 4.0f / 7, 3.0f / 7, 0});
  expect({.temperature = 1.0, .top_p = 0.65}, {0, 4.0f / 7, 3.0f / 7, 0});
  expect({.temperature = 1.0, .top_p = 0.75}, {0, 4.0f / 9, 3.0f / 9, 2.0f / 9});
  expect({.temperature = 1.0, .top_p = 1e-9}, {0, 1, 0, 0});
  expect({.temperature = 1.0, .top_k = 3, .top_p = 0.5}, {0, 4.0f / 7, 3.0f / 7, 0});
  expect({.temperature = 0.5}, {1.0f / 30, 16.0f / 30, 9.0f / 30, 4.0f / 30});
  // Of equals the lower id.
  const std::vector<float> equal = {1.0f, 2.0f, 2.0f};
  EXPECT_EQ(TokenDistribution({equal}, {.temperature = 0.0})[1], 1.0f);
  EXPECT_EQ(TokenDistribution({equal}, {.temperature = 1.0, .top_k = 1})[1], 1.0f);
}

// What is left of a row on the device gives the distribution of the whole row, to the bit, and the
// same draws, residuals and verdicts as a distribution that lists every token.
TEST(TokenDistribution, OfTheLikeliestIsThatOfTheWholeRow) {
  constexpr int64_t kTokens = 300;
  for (const SamplingOptions& options :
       {SamplingOptions{.temperature = 0.0}, SamplingOptions{.temperature = 0.8, .top_k = 1},
        SamplingOptions{.temperature = 1.3, .top_k = 40},
        SamplingOptions{.temperature = 0.8, .top_k = 128, .top_p = 0.7}}) {
    const int64_t count = LikeliestFor(options, kTokens);
    ASSERT_EQ(count, options.temperature == 0.0 ? 1 : options.top_k);
    std::vector<Distribution> distributions;
    for (uint64_t row = 0; row < 20; ++row) {
      std::vector<float> logits(kTokens);
      // Many equals.
      for (uint64_t i = 0; i < kTokens; ++i)
        logits[i] = std::round(4.0f * PhiloxNormal(row, i)) / 4.0f;
      const std::vector<int32_t> ids = LikeliestTokens({logits}, count);
      std::vector<float> values;
      for (const int32_t id : ids) values.push_back(logits[static_cast<size_t>(id)]);
      const Distribution few = TokenDistribution({values, ids}, options),
                         whole = TokenDistribution({logits}, options);
      EXPECT_EQ(few.ids, whole.ids);
      EXPECT_EQ(few.p, whole.p);
      EXPECT_EQ(LikeliestTokens({values, ids}, count), ids);
      distributions.push_back(few);
    }
    const auto dense = [&](const Distribution& distribution) {
      Distribution all{.p = std::vector<float>(kTokens)};
      for (int64_t i = 0; i < kTokens; ++i) all.p[static_cast<size_t>(i)] = distribution[i];
      return all;
    };
    for (size_t i = 0; i + 1 < distributions.size(); ++i) {
      const Distribution p = distributions[i], q = distributions[i + 1], all_p = dense(p),
                         all_q = dense(q);
      const Distribution rest = ResidualDistribution(p, q),
                         all_rest = ResidualDistribution(all_p, all_q);
      EXPECT_EQ(dense(rest).p, all_rest.p);
      for (int draw = 0; draw < 20; ++draw) {
        const double u = UniformFor(5, static_cast<int64_t>(i), draw, Randomness::kToken);
        EXPECT_EQ(DrawToken(p, u), DrawToken(all_p, u));
        EXPECT_EQ(DrawToken(rest, u), DrawToken(all_rest, u));
        DraftTree tree, all_tree;
        const int32_t token = DrawToken(q, u);
        for (DraftTree* t : {&tree, &all_tree}) t->Add(token, -1);
        tree.distributions = {q};
        all_tree.distributions = {all_q};
        for (const Verification rule :
             {Verification::kMatch, Verification::kRejection, Verification::kTypical}) {
          const auto uniform = [&](int depth, Randomness use) {
            return UniformFor(6, draw, depth, use);
          };
          const Verdict a = Verify(rule, tree, {p, q}, uniform);
          const Verdict b = Verify(rule, all_tree, {all_p, all_q}, uniform);
          EXPECT_EQ(a.path, b.path) << Name(rule);
          EXPECT_EQ(a.next, b.next) << Name(rule);
        }
      }
    }
  }
  EXPECT_EQ(LikeliestFor({.temperature = 1.0}, kTokens), 0);
  EXPECT_EQ(LikeliestFor({.temperature = 1.0, .top_p = 0.5}, kTokens), 0);
  EXPECT_EQ(LikeliestFor({.temperature = 1.0, .top_k = 129}, kTokens), 0);
  EXPECT_EQ(LikeliestFor({.temperature = 1.0, .top_k = 100}, 100), 0);
}

TEST(DrawToken, NeverGivesWhatHasNoProbability) {
  const Distribution distribution{.p = {0.0f, 0.5f, 0.0f, 0.5f, 0.0f}};
  EXPECT_EQ(DrawToken(distribution, 1e-17), 1);
  EXPECT_EQ(DrawToken(distribution, 0.499), 1);
  EXPECT_EQ(DrawToken(distribution, 0.501), 3);
  EXPECT_EQ(DrawToken(distribution, 1.0 - 1e-17), 3);
}

}  // namespace
}  // namespace tl
