// SPDX-License-Identifier: Apache-2.0
#include "kernels/head_metrics.h"

#include <cmath>
#include <limits>

#include "kernels/cross_entropy.h"
#include "tests/kernels/kernel_test.h"

namespace tl {
namespace {

// A model that decodes: from tokens alone, greedy decoding with drafts is replayed and counted.
struct Text {
  int64_t sequences, length, heads;
  std::vector<std::vector<int32_t>> targets, greedy, rank;  // by head, then row
  std::vector<std::vector<float>> losses;

  int64_t rows() const { return sequences * length; }
};

// Tokens of a small alphabet, so that heads often agree; documents end here and there.
Text MakeText(int64_t sequences, int64_t length, int64_t heads) {
  Text text{sequences, length, heads, {}, {}, {}, {}};
  for (int64_t k = 0; k < heads; ++k) {
    std::vector<int32_t> targets, greedy, rank;
    std::vector<float> losses;
    for (int64_t b = 0; b < sequences; ++b) {
      for (int64_t t = 0; t < length; ++t) {
        const auto random = [&](uint64_t what, int64_t at) { return Philox(what, b, at).w[0]; };
        bool masked = false;
        for (int64_t i = t + 1; i <= t + k + 1; ++i) masked |= random(1, i) % 11 == 0;
        const auto token = static_cast<int32_t>(random(2, t + k + 1) % 2);
        targets.push_back(masked ? -1 : token);
        greedy.push_back(static_cast<int32_t>(random(3 + k, t) % 3 % 2));
        rank.push_back(masked ? -1 : static_cast<int32_t>(random(20 + k, t) % 8));
        losses.push_back(masked ? 0.0f : static_cast<float>(random(40 + k, t) % 1000) * 0.01f);
      }
    }
    text.targets.push_back(targets);
    text.greedy.push_back(greedy);
    text.rank.push_back(rank);
    text.losses.push_back(losses);
  }
  return text;
}

// By the definition: head i (from 1) at row t drafts x_{t+i}; the main head's own token there is
// its greedy token at t + i - 1. Head i is reached where text, drafts and the main head's tokens
// are the same for all smaller offsets.
HeadSums ExpectedSums(const Text& text, int64_t head) {
  HeadSums s = {};
  for (int64_t n = 0; n < text.rows(); ++n) {
    const int64_t t = n % text.length;
    s.loss += text.losses[head][n];
    const bool known = text.targets[head][n] >= 0;
    s.targets += known;
    s.top1 += known && text.rank[head][n] == 0;
    s.top5 += known && text.rank[head][n] < 5;
    if (!known || t + head >= text.length) continue;
    s.compared += 1;
    const bool agreed = text.greedy[head][n] == text.greedy[0][n + head];
    s.agreed += agreed;
    bool reached = true;
    for (int64_t j = 0; j < head; ++j) {
      const int32_t token = text.targets[j][n];
      reached &= token >= 0 && token == text.greedy[0][n + j] && token == text.greedy[j][n];
    }
    s.reached += reached;
    s.accepted += reached && agreed;
  }
  return s;
}

TEST(HeadMetrics, CountsWhatDecodingWouldSee) {
  for (const auto& [sequences, length, heads] :
       {std::tuple{1, 1, 1}, {1, 3, 4}, {3, 37, 4}, {5, 400, 3}}) {
    SCOPED_TRACE(length);
    const Text text = MakeText(sequences, length, heads);
    const Shape rows{text.rows()};
    // Two micro-batches of the same text add up.
    std::vector<double> start(heads * kHeadSums, 1.0);
    Owned sums({heads, kHeadSums}, start), alive(DType::kI32, rows);
    const Owned main(rows, text.greedy[0]);
    for (int pass = 0; pass < 2; ++pass) {
      for (int64_t k = 0; k < heads; ++k) {
        const Owned losses(rows, text.losses[k]), targets(rows, text.targets[k]),
            greedy(rows, text.greedy[k]), rank(rows, text.rank[k]);
        HeadMetrics(TestStream(), {.sums = sums.tensor().Slice(0, k, k + 1).Reshape({kHeadSums}),
                                   .alive = alive,
                                   .losses = losses,
                                   .targets = targets,
                                   .greedy = greedy,
                                   .rank = rank,
                                   .main = main,
                                   .offset = k + 1,
                                   .sequence_length = length});
      }
    }
    const std::vector<uint8_t> bytes = sums.Bytes();
    for (int64_t k = 0; k < heads; ++k) {
      HeadSums got;
      std::memcpy(&got, bytes.data() + k * sizeof(got), sizeof(got));
      const HeadSums want = ExpectedSums(text, k);
      EXPECT_NEAR(got.loss, 1 + 2 * want.loss, 1e-12 * (1 + want.loss));
      EXPECT_EQ(got.targets, 1 + 2 * want.targets);
      EXPECT_EQ(got.top1, 1 + 2 * want.top1);
      EXPECT_EQ(got.top5, 1 + 2 * want.top5);
      EXPECT_EQ(got.compared, 1 + 2 * want.compared);
      EXPECT_EQ(got.agreed, 1 + 2 * want.agreed);
      EXPECT_EQ(got.reached, 1 + 2 * want.reached);
      EXPECT_EQ(got.accepted, 1 + 2 * want.accepted);
      if (length == 400) {
        EXPECT_GT(want.accepted, 10);
        if (k > 0) {
          EXPECT_LT(want.accepted, want.reached);
          EXPECT_LT(want.reached, want.compared);
        }
      }
    }
  }
}

TEST(HeadMetrics, ShowsLossesThatAreNotFinite) {
  const Shape rows{700};
  std::vector<float> losses(700, 1.0f);
  losses[650] = std::numeric_limits<float>::quiet_NaN();
  const std::vector<int32_t> zeros(700);
  Owned sums({kHeadSums}, std::vector<double>(kHeadSums)), alive(DType::kI32, rows);
  const Owned loss(rows, losses), targets(rows, zeros);
  HeadMetrics(TestStream(), {.sums = sums,
                             .alive = alive,
                             .losses = loss,
                             .targets = targets,
                             .greedy = targets,
                             .rank = targets,
                             .main = targets,
                             .sequence_length = 100});
  HeadSums got;
  std::memcpy(&got, sums.Bytes().data(), sizeof(got));
  EXPECT_TRUE(std::isnan(got.loss));
  EXPECT_EQ(got.targets, 700);
  EXPECT_EQ(got.top1, 700);
}

// Logits that are all NaN have no greedy token: two heads without one do not agree.
TEST(HeadMetrics, TakesNoTokenForNoAgreement) {
  const Shape rows{3};
  Owned sums({kHeadSums}, std::vector<double>(kHeadSums)), alive(DType::kI32, rows);
  const Owned loss(rows, std::vector<float>{NAN, NAN, 1}),
      targets(rows, std::vector<int32_t>{5, 5, 5}), greedy(rows, std::vector<int32_t>{-1, -1, 5}),
      rank(rows, std::vector<int32_t>{kNoRank, kNoRank, 0});
  HeadMetrics(TestStream(), {.sums = sums,
                             .alive = alive,
                             .losses = loss,
                             .targets = targets,
                             .greedy = greedy,
                             .rank = rank,
                             .main = greedy,
                             .sequence_length = 3});
  HeadSums got;
  std::memcpy(&got, sums.Bytes().data(), sizeof(got));
  EXPECT_EQ(got.targets, 3);
  EXPECT_EQ(got.top1, 1);
  EXPECT_EQ(got.top5, 1);
  EXPECT_EQ(got.agreed, 1);
  EXPECT_EQ(got.accepted, 1);
}

}  // namespace
}  // namespace tl
