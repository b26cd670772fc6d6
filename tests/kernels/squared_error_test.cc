// SPDX-License-Identifier: Apache-2.0
#include "kernels/squared_error.h"

#include <limits>

#include "tests/gradcheck.h"
#include "tests/kernels/kernel_test.h"
#include "tests/kernels/sample_cases.h"
#include "tests/reference/squared_error.h"

namespace tl {
namespace {

constexpr double kScale = 0.75;

// Every third one is 0.
Doubles Weights(int64_t count) {
  Doubles weights = Normals(DType::kF32, count, 5);
  for (int64_t b = 0; b < count; ++b) weights[b] = b % 3 == 2 ? 0.0 : std::fabs(weights[b]);
  return weights;
}

template <typename S>
reference::SquaredErrorResult<S> Twin(const SampleCase& c, const std::vector<S>& y,
                                      const std::vector<S>& target, const std::vector<S>& weights) {
  return reference::SquaredError(y, target, weights, kScale, c.width, c.sample().length,
                                 c.sample().first);
}

TEST(SquaredErrorTwin, FiniteDifferences) {
  const SampleCase c{5, 3, 3, {2, 1}};
  const Doubles y = Normals(DType::kF32, 15, 1), target = Normals(DType::kF32, 15, 2);
  const Doubles weights = Weights(3);
  const auto loss = [&](const Doubles& at) {
    double sum = 0.0;
    for (const double l : Twin(c, at, target, weights).losses) sum += kScale * l;
    return sum;
  };
  EXPECT_LE(GradientError(loss, y, Twin(c, y, target, weights).dy), 1e-7);
}

TEST(SquaredError, MatchesTheTwin) {
  for (const SampleCase& c : kSampleCases) {
    const Doubles y = Normals(DType::kF32, c.rows * c.width, 1);
    const Doubles target = Normals(DType::kF32, c.rows * c.width, 2), weights = Weights(c.count);
    const auto ref = Twin(c, y, target, weights);
    const auto naive = Twin(c, As<float>(y), As<float>(target), As<float>(weights));
    const Owned ty(DType::kF32, c.shape(), y), tt(DType::kF32, c.shape(), target);
    const Owned tw(DType::kF32, {c.count}, weights), scale(DType::kF32, {1}, {kScale});
    Owned only(DType::kF32, {c.count});
    SquaredError(TestStream(),
                 {.losses = only, .y = ty, .target = tt, .weights = tw, .samples = c.samples});
    ExpectWithinBound(DType::kF32, only.Get(), ref.losses, naive.losses,
                      "losses" + At(c.rows, c.width));
    for (const DType dtype : kFloatTypes) {
      Owned losses(DType::kF32, {c.count}), dy(dtype, c.shape());
      SquaredError(TestStream(), {.losses = losses,
                                  .dy = dy,
                                  .y = ty,
                                  .target = tt,
                                  .weights = tw,
                                  .grad_scale = scale,
                                  .samples = c.samples});
      EXPECT_EQ(losses.Bytes(), only.Bytes());
      ExpectWithinBound(dtype, dy.Get(), ref.dy, naive.dy, "dy" + At(c.rows, c.width));
    }
  }
}

// What two ranks have of a sample adds up to its loss; a rank without rows of it has 0.
TEST(SquaredError, AddsUpOverRanks) {
  constexpr int64_t kRows = 12, kWidth = 5, kHalf = 7;
  const Owned y(DType::kF32, {kRows, kWidth}, Normals(DType::kF32, kRows * kWidth, 1));
  const Owned target(DType::kF32, {kRows, kWidth}, Normals(DType::kF32, kRows * kWidth, 2));
  const Owned weights(DType::kF32, {3}, {1.0, 2.0, 3.0});
  const auto run = [&](int64_t begin, int64_t end) {
    Owned losses(DType::kF32, {3});
    SquaredError(TestStream(), {.losses = losses,
                                .y = y.tensor().Slice(0, begin, end),
                                .target = target.tensor().Slice(0, begin, end),
                                .weights = weights,
                                .samples = {.rows_per_sample = 4, .first_row = begin}});
    return losses.Get();
  };
  const Doubles whole = run(0, kRows), low = run(0, kHalf), high = run(kHalf, kRows);
  EXPECT_EQ(low[0], whole[0]);
  EXPECT_EQ(high[0], 0.0);
  EXPECT_GT(low[1], 0.0);
  EXPECT_GT(high[1], 0.0);
  EXPECT_NEAR(low[1] + high[1], whole[1], 1e-6 * whole[1]);
  EXPECT_EQ(low[2], 0.0);
  EXPECT_EQ(high[2], whole[2]);
}

TEST(SquaredError, PassesOverSamplesOfWeightZero) {
  constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
  const Owned y(DType::kF32, {4, 2}, {1, 1, 1, 1, kNaN, 1, 1, kNaN});
  const Owned target(DType::kF32, {4, 2}, Doubles(8)), scale(DType::kF32, {1}, {1.0});
  for (const double weight : {0.0, 1.0}) {
    const Owned weights(DType::kF32, {2}, {1.0, weight});
    Owned losses(DType::kF32, {2}), dy(DType::kBF16, {4, 2});
    SquaredError(TestStream(), {.losses = losses,
                                .dy = dy,
                                .y = y,
                                .target = target,
                                .weights = weights,
                                .grad_scale = scale,
                                .samples = {.rows_per_sample = 2}});
    EXPECT_EQ(losses.Get()[0], 1.0);
    EXPECT_EQ(dy.Get()[0], 0.5);
    if (weight == 0.0) {
      EXPECT_EQ(losses.Get()[1], 0.0);
      const Doubles d = dy.Get();
      EXPECT_EQ(Doubles(d.begin() + 4, d.end()), Doubles(4));
    } else {
      EXPECT_TRUE(std::isnan(losses.Get()[1]));
      EXPECT_TRUE(std::isnan(dy.Get()[4]));
    }
  }
}

TEST(SumByRange, AddsUpOverMicroBatches) {
  constexpr int64_t kCount = 1301;
  const Doubles losses = Normals(DType::kF32, kCount, 1);
  std::vector<int32_t> ranges(kCount);
  for (int64_t b = 0; b < kCount; ++b)
    ranges[b] = static_cast<int32_t>(Philox(2, b, 0).w[0] % 6) - 1;  // -1 to 4
  const Owned given(DType::kF32, {kCount}, losses), tr({kCount}, ranges);
  Owned sums({kRangeSums}, std::vector<double>(kRangeSums, 1.0));
  SumByRange(TestStream(), {.sums = sums, .losses = given, .ranges = tr});
  SumByRange(TestStream(), {.sums = sums, .losses = given, .ranges = tr});
  RangeSums got;
  std::memcpy(&got, sums.Bytes().data(), sizeof(got));
  int64_t counted = 0;
  for (int k = 0; k < kLossRanges; ++k) {
    double loss = 0.0;
    int64_t samples = 0;
    for (int64_t b = 0; b < kCount; ++b) {
      loss += ranges[b] == k ? losses[b] : 0.0;
      samples += ranges[b] == k;
    }
    EXPECT_NEAR(got.losses[k], 1 + 2 * loss, 1e-10);
    EXPECT_EQ(got.samples[k], 1.0 + 2.0 * static_cast<double>(samples));
    counted += samples;
  }
  EXPECT_LT(counted, kCount);
  EXPECT_GT(counted, kCount / 2);
}

}  // namespace
}  // namespace tl
