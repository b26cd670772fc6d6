// SPDX-License-Identifier: Apache-2.0
#include "kernels/cross_entropy.h"

#include <limits>

#include "tests/gradcheck.h"
#include "tests/kernels/kernel_test.h"
#include "tests/reference/cross_entropy.h"

namespace tl {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr float kCrossEntropyZLoss = 1e-2f;

struct CrossEntropyCase {
  int64_t rows, width, valid;
};
constexpr CrossEntropyCase kCrossEntropyCases[] = {
    {1, 1, 1}, {7, 7, 5}, {3, 113, 113}, {113, 239, 230}, {5, 1023, 1000}, {3, 50304, 50257}};

TEST(CrossEntropyTwin, FiniteDifferences) {
  const Doubles logits = Normals(DType::kF32, 4 * 7, 1, 3.0);
  const std::vector<int32_t> targets = {2, -1, 4, 0};
  const auto f = [&](const Doubles& at) {
    return 1.5 *
           Dot(Doubles(4, 1.0), reference::CrossEntropy(at, targets, 5, kCrossEntropyZLoss).loss);
  };
  const Doubles grad = reference::CrossEntropyGrad(logits, targets, 5, 1.5, kCrossEntropyZLoss);
  EXPECT_LE(GradientError(f, logits, grad), 1e-7);
}

std::vector<int32_t> Targets(const CrossEntropyCase& c) {
  std::vector<int32_t> targets = Integers(c.rows, static_cast<int32_t>(c.valid), 5);
  for (size_t n = 1; n < targets.size(); n += 3) targets[n] = -1;
  return targets;
}

std::vector<int32_t> Ints(const Owned& x) {
  const std::vector<uint8_t> bytes = x.Bytes();
  std::vector<int32_t> out(x.tensor().elements());
  std::memcpy(out.data(), bytes.data(), out.size() * sizeof(int32_t));
  return out;
}

std::vector<RowStats> Stats(const Owned& x) {
  const std::vector<uint8_t> bytes = x.Bytes();
  std::vector<RowStats> out(x.tensor().elements() / 4);
  std::memcpy(out.data(), bytes.data(), out.size() * sizeof(RowStats));
  return out;
}

// The vocabulary cut over `ranks` owners, the last one with padding, merged.
void CheckCrossEntropy(const CrossEntropyCase& c, int64_t ranks, DType grad_type) {
  Stream& stream = TestStream();
  const std::string what = At(c.rows, c.width) + " on " + std::to_string(ranks) + " ranks";
  const Doubles logits = Normals(DType::kF32, c.rows * c.width, 1, 4.0);
  std::vector<int32_t> targets = Targets(c);
  const Owned tt({c.rows}, targets);
  const Doubles ref_grad =
      reference::CrossEntropyGrad(logits, targets, c.valid, 8.0, kCrossEntropyZLoss);
  const auto ref = reference::CrossEntropy(logits, targets, c.valid, kCrossEntropyZLoss);
  const auto naive =
      reference::CrossEntropy(As<float>(logits), targets, c.valid, kCrossEntropyZLoss);
  const auto naive_grad =
      reference::CrossEntropyGrad(As<float>(logits), targets, c.valid, 8.0f, kCrossEntropyZLoss);

  const int64_t local = (c.width + ranks - 1) / ranks;
  std::vector<Owned> slices;
  Owned all(DType::kF32, {ranks, c.rows, 4});
  Doubles target_sums(c.rows);
  for (int64_t r = 0; r < ranks; ++r) {
    const int64_t begin = r * local, valid = std::clamp<int64_t>(c.valid - begin, 0, local);
    // Padding and what lies beyond the vocabulary hold NaN.
    Doubles slice(c.rows * local, std::numeric_limits<double>::quiet_NaN());
    for (int64_t n = 0; n < c.rows; ++n)
      std::copy_n(logits.begin() + n * c.width + begin, valid, slice.begin() + n * local);
    slices.emplace_back(DType::kF32, Shape{c.rows, local}, slice);
    Owned target(DType::kF32, {c.rows});
    CrossEntropyTarget(stream, {.target_logit = target,
                                .logits = slices.back(),
                                .targets = tt,
                                .begin = begin,
                                .valid = valid});
    const Doubles here = target.Get();
    for (int64_t n = 0; n < c.rows; ++n) target_sums[n] += here[n];
  }
  for (int64_t n = 0; n < c.rows; ++n)
    EXPECT_EQ(target_sums[n], targets[n] < 0 ? 0.0 : logits[n * c.width + targets[n]]);
  const Owned target_logit(DType::kF32, {c.rows}, target_sums);
  for (int64_t r = 0; r < ranks; ++r) {
    const int64_t begin = r * local, valid = std::clamp<int64_t>(c.valid - begin, 0, local);
    const Tensor stats = all.tensor().Slice(0, r, r + 1).Reshape({c.rows, 4});
    CrossEntropyStats(stream, {.stats = stats,
                               .logits = slices[r],
                               .target_logit = target_logit,
                               .begin = begin,
                               .valid = valid});
    if (valid == 0) {
      const std::vector<RowStats> now = Stats(all);
      for (int64_t n = r * c.rows; n < (r + 1) * c.rows; ++n) {
        EXPECT_EQ(now[n].max, -kInfinity);
        EXPECT_EQ(now[n].sum, 0);
        EXPECT_EQ(now[n].argmax, -1);
        EXPECT_EQ(now[n].greater, 0);
      }
    }
  }
  Owned lse(DType::kF32, {c.rows}), loss(DType::kF32, {c.rows});
  Owned greedy(DType::kI32, {c.rows}), rank(DType::kI32, {c.rows});
  CrossEntropyMerge(stream, {.lse = lse,
                             .loss = loss,
                             .greedy = greedy,
                             .rank = rank,
                             .all_stats = all,
                             .target_logit = target_logit,
                             .targets = tt,
                             .z_loss = kCrossEntropyZLoss});
  const std::vector<int32_t> greedy_now = Ints(greedy), rank_now = Ints(rank);
  for (int64_t n = 0; n < c.rows; ++n) {
    const auto row = logits.begin() + n * c.width;
    EXPECT_EQ(greedy_now[n], std::max_element(row, row + c.valid) - row) << what;
    const auto greater = [&](double z) { return z > target_sums[n]; };
    EXPECT_EQ(rank_now[n], targets[n] < 0 ? -1 : std::count_if(row, row + c.valid, greater))
        << what;
  }
  ExpectWithinBound(DType::kF32, lse.Get(), ref.lse, naive.lse, "lse" + what);
  Owned alone(DType::kF32, {c.rows});
  CrossEntropyMerge(stream,
                    {.lse = alone, .all_stats = all, .target_logit = target_logit, .targets = tt});
  EXPECT_EQ(alone.Bytes(), lse.Bytes()) << what;
  ExpectWithinBound(DType::kF32, loss.Get(), ref.loss, naive.loss, "loss" + what);

  const Owned scale(DType::kF32, {1}, {8.0});
  for (int64_t r = 0; r < ranks; ++r) {
    const int64_t begin = r * local, valid = std::clamp<int64_t>(c.valid - begin, 0, local);
    Doubles ref_slice(c.rows * local);
    std::vector<float> naive_slice(c.rows * local);
    for (int64_t n = 0; n < c.rows; ++n) {
      std::copy_n(ref_grad.begin() + n * c.width + begin, valid, ref_slice.begin() + n * local);
      std::copy_n(naive_grad.begin() + n * c.width + begin, valid, naive_slice.begin() + n * local);
    }
    Owned d_logits(grad_type, {c.rows, local});
    CrossEntropyGradArgs args = {.d_logits = d_logits,
                                 .logits = slices[r],
                                 .lse = lse,
                                 .targets = tt,
                                 .grad_scale = scale,
                                 .z_loss = kCrossEntropyZLoss,
                                 .begin = begin,
                                 .valid = valid};
    CrossEntropyGrad(stream, args);
    ExpectWithinBound(grad_type, d_logits.Get(), ref_slice, naive_slice, "d_logits" + what);
    // In place: row n at the front of the logits' row n.
    Tensor in_place = slices[r];
    const auto wider = static_cast<int64_t>(4 / SizeOf(grad_type));
    in_place.strides[0] *= wider;
    in_place.dtype = grad_type;
    args.d_logits = in_place;
    CrossEntropyGrad(stream, args);
    const std::vector<uint8_t> front = slices[r].Bytes(), apart = d_logits.Bytes();
    const auto bytes = local * static_cast<int64_t>(SizeOf(grad_type));
    for (int64_t n = 0; n < c.rows; ++n)
      EXPECT_EQ(std::memcmp(&front[n * wider * bytes], &apart[n * bytes], bytes), 0) << what;
  }
}

TEST(CrossEntropy, MatchesTheTwin) {
  for (const CrossEntropyCase& c : kCrossEntropyCases) {
    for (const DType grad_type : kFloatTypes) CheckCrossEntropy(c, 1, grad_type);
  }
}

TEST(CrossEntropy, MergesSlicesOfTheVocabulary) {
  for (const int64_t ranks : {2, 4}) {
    CheckCrossEntropy({113, 239, 230}, ranks, DType::kF32);
    CheckCrossEntropy({7, 7, 2}, ranks, DType::kBF16);
  }
}

// With lse = 0 and the target elsewhere the gradient is e^z: the vector exponential within 2 ulp.
TEST(CrossEntropy, ExponentialIsAccurate) {
  Stream& stream = TestStream();
  constexpr int64_t kWidth = 1 << 20;
  Doubles z(kWidth);
  for (int64_t i = 0; i < kWidth; ++i)
    z[i] =
        RoundedTo(DType::kF32, i % 2 ? -87.3 * i / kWidth : -std::ldexp(1.0 + i % 999, -(i % 60)));
  const Owned logits(DType::kF32, {1, kWidth}, z), zero(DType::kF32, {1}, {0.0});
  const Owned one(DType::kF32, {1}, {1.0});
  const Owned target({1}, std::vector<int32_t>{kWidth});
  Owned d_logits(DType::kF32, {1, kWidth});
  CrossEntropyGrad(stream, {.d_logits = d_logits,
                            .logits = logits,
                            .lse = zero,
                            .targets = target,
                            .grad_scale = one,
                            .valid = kWidth});
  const Doubles got = d_logits.Get();
  double worst = 0.0;
  for (int64_t i = 0; i < kWidth; ++i) {
    const double exact = std::exp(z[i]);
    if (z[i] < -87.33) {
      EXPECT_LE(got[i], 2e-38) << z[i];
    } else {
      worst = Worse(worst, std::fabs(got[i] - exact) / Ulp(DType::kF32, exact));
    }
  }
  EXPECT_LE(worst, 2.0);
}

TEST(CrossEntropy, KeepsExtremesAndShowsNonFiniteLogits) {
  Stream& stream = TestStream();
  constexpr int64_t kRows = 6, kWidth = 5000;
  Doubles logits(kRows * kWidth, -kInfinity);
  logits[kWidth - 1] = -3;                                             // one finite logit
  for (int64_t v = 0; v < kWidth; ++v) logits[kWidth + v] = 1e4;       // huge but equal
  logits[2 * kWidth + 10] = std::numeric_limits<double>::quiet_NaN();  // NaN among -Inf
  for (int64_t v = 0; v < kWidth; ++v) logits[3 * kWidth + v] = 0;
  logits[3 * kWidth + 4000] = std::numeric_limits<double>::quiet_NaN();
  for (int64_t v = 0; v < kWidth; ++v) logits[4 * kWidth + v] = 0;
  logits[4 * kWidth + 4000] = kInfinity;
  for (int64_t v = 0; v < kWidth; ++v) logits[5 * kWidth + v] = v == 7 ? 0 : -1e30;
  std::vector<int32_t> targets = {kWidth - 1, 3, 1, 1, 1, 7};
  const Owned tt({kRows}, targets);
  const Owned tl(DType::kF32, {kRows, kWidth}, logits);
  Owned stats(DType::kF32, {1, kRows, 4}), lse(DType::kF32, {kRows}), loss(DType::kF32, {kRows});
  Owned target(DType::kF32, {kRows}), greedy(DType::kI32, {kRows}), rank(DType::kI32, {kRows});
  CrossEntropyTarget(stream,
                     {.target_logit = target, .logits = tl, .targets = tt, .valid = kWidth});
  CrossEntropyStats(stream, {.stats = stats.tensor().Reshape({kRows, 4}),
                             .logits = tl,
                             .target_logit = target,
                             .valid = kWidth});
  CrossEntropyMerge(stream, {.lse = lse,
                             .loss = loss,
                             .greedy = greedy,
                             .rank = rank,
                             .all_stats = stats,
                             .target_logit = target,
                             .targets = tt});
  // The lowest of equal logits; none where no logit is above -Inf.
  EXPECT_EQ(Ints(greedy), (std::vector<int32_t>{kWidth - 1, 0, -1, 0, 4000, 7}));
  EXPECT_EQ(Ints(rank)[0], 0);
  EXPECT_EQ(Ints(rank)[1], 0);
  // Neither a hit nor among the five likeliest, though nothing compares as greater.
  for (const int row : {2, 3, 4}) EXPECT_EQ(Ints(rank)[row], kNoRank) << row;
  EXPECT_EQ(lse.Get()[0], -3);
  EXPECT_EQ(loss.Get()[0], 0);
  EXPECT_NEAR(loss.Get()[1], std::log(kWidth), 1e-6);
  for (const int row : {2, 3, 4}) EXPECT_FALSE(std::isfinite(loss.Get()[row])) << row;
  EXPECT_EQ(loss.Get()[5], 0);
}

}  // namespace
}  // namespace tl
