// Verification rules one by one, and the law of what they let through; verify_long_test.cc draws
// more.
#include "infer/verify.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/infer/law_suite.h"

namespace tl {
namespace {

constexpr int64_t kDraws = 20000;

TEST(Law, OfThreeTokensIsTheModels) {
  for (const LawCase& c : LosslessCases()) {
    const LawOutcome outcome = RunLawCase(c, kDraws);
    EXPECT_LT(outcome.deviate, 4.5) << c.name;
    if (c.shape != DraftShape::kNone) {
      EXPECT_GT(outcome.accepted, 0.1) << c.name;
    }
  }
}

TEST(Law, OfWrongRulesIsNoticed) {
  for (const LawCase& c : LossyCases()) EXPECT_GT(RunLawCase(c, kDraws).deviate, 8.0) << c.name;
}

TEST(Law, RejectionTakesWhatPAndQShare) {
  const SamplingOptions s{.temperature = 1.0};
  const Tables tables(s);
  const Law p = tables.Model(kPrompt), q = tables.Draft(kPrompt);
  double shared = 0.0;
  for (size_t i = 0; i < p.size(); ++i) shared += std::min(p[i], q[i]);
  int64_t taken = 0;
  for (int64_t draw = 0; draw < kDraws; ++draw) {
    const UniformOf uniform = [&](int depth, Randomness use) {
      return UniformFor(7, draw, depth, use);
    };
    DraftTree tree;
    tree.laws.push_back(q);
    tree.Add(DrawToken(q, uniform(0, Randomness::kDraft)), -1);
    taken +=
        static_cast<int64_t>(Verify(Verification::kRejection, tree, {p, p}, uniform).path.size());
  }
  const double sigma = std::sqrt(shared * (1.0 - shared) / static_cast<double>(kDraws));
  EXPECT_NEAR(static_cast<double>(taken) / static_cast<double>(kDraws), shared, 5.0 * sigma);
}

// Laws with all on one token, as at temperature 0.
std::vector<Law> OneHot(const std::vector<int>& tokens) {
  std::vector<Law> laws;
  for (const int token : tokens) {
    laws.emplace_back(kVocab, 0.0f);
    laws.back()[static_cast<size_t>(token)] = 1.0f;
  }
  return laws;
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
  const Law p = {0.3f, 0.4f, 0.3f, 0, 0, 0, 0, 0};
  EXPECT_EQ(Verify(Verification::kTypical, tree, {p, p, p}, Half).path, (std::vector<int>{1}));
  tree.Add(2, 0);
  EXPECT_EQ(Verify(Verification::kTypical, tree, {p, p, p, p}, Half).path,
            (std::vector<int>{0, 2}));
  // Below the threshold nothing is taken, however long.
  const Law low = {0.05f, 0.05f, 0.9f, 0, 0, 0, 0, 0};
  EXPECT_TRUE(Verify(Verification::kTypical, tree, {low, p, p, p}, Half).path.empty());
}

TEST(Verify, NamesAreKnown) {
  for (const char* name : {"match", "rejection", "typical"})
    EXPECT_STREQ(Name(VerificationNamed(name).value()), name);
  const auto unknown = VerificationNamed("exact").status();
  EXPECT_NE(unknown.message().find("match, rejection, typical"), std::string::npos);
}

TEST(TokenLaw, CutsAndNormalises) {
  const std::vector<float> logits = {std::log(0.1f), std::log(0.4f), std::log(0.3f),
                                     std::log(0.2f)};
  const auto expect = [&](const SamplingOptions& options, const std::vector<float>& law) {
    const Law found = TokenLaw(logits, options);
    for (size_t i = 0; i < law.size(); ++i) EXPECT_NEAR(found[i], law[i], 1e-6);
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
  EXPECT_EQ(TokenLaw({1.0f, 2.0f, 2.0f}, {.temperature = 0.0})[1], 1.0f);
  EXPECT_EQ(TokenLaw({1.0f, 2.0f, 2.0f}, {.temperature = 1.0, .top_k = 1})[1], 1.0f);
}

TEST(DrawToken, NeverGivesWhatHasNoProbability) {
  const Law law = {0.0f, 0.5f, 0.0f, 0.5f, 0.0f};
  EXPECT_EQ(DrawToken(law, 1e-17), 1);
  EXPECT_EQ(DrawToken(law, 0.499), 1);
  EXPECT_EQ(DrawToken(law, 0.501), 3);
  EXPECT_EQ(DrawToken(law, 1.0 - 1e-17), 3);
}

}  // namespace
}  // namespace tl
