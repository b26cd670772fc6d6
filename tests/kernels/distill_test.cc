// SPDX-License-Identifier: Apache-2.0
#include "kernels/distill.h"

#include <limits>

#include "tests/gradcheck.h"
#include "tests/kernels/kernel_test.h"
#include "tests/reference/distill.h"

namespace tl {
namespace {

constexpr float kDistillZLoss = 1e-2f;

struct DistillCase {
  int64_t rows, width, valid;
};
constexpr DistillCase kDistillCases[] = {{1, 1, 1},       {7, 7, 5},       {3, 113, 113},
                                         {113, 239, 230}, {5, 1024, 1000}, {3, 50304, 50257}};

TEST(DistillTwin, FiniteDifferences) {
  const Doubles logits = Normals(DType::kF32, 4 * 7, 1, 3.0);
  const Doubles teacher = Normals(DType::kF32, 4 * 7, 2, 3.0);
  const std::vector<int32_t> targets = {2, -1, 4, 0};
  const auto f = [&](const Doubles& at) {
    const auto twin = reference::Distill(at, teacher, targets, 5, 1.0, kDistillZLoss);
    return 1.5 * Dot(Doubles(4, 1.0), twin.loss);
  };
  const Doubles grad = reference::Distill(logits, teacher, targets, 5, 1.5, kDistillZLoss).d_logits;
  EXPECT_LE(GradientError(f, logits, grad), 1e-7);
}

// A divergence is zero from itself and positive from anything else.
TEST(DistillTwin, IsADivergence) {
  const Doubles z = Normals(DType::kF32, 5 * 9, 1, 3.0), t = Normals(DType::kF32, 5 * 9, 2, 3.0);
  const std::vector<int32_t> targets(5, 0);
  for (const double loss : reference::Distill(z, z, targets, 9, 1.0).loss) EXPECT_EQ(loss, 0.0);
  for (const double loss : reference::Distill(z, t, targets, 9, 1.0).loss) EXPECT_GT(loss, 0.1);
}

// The vocabulary cut over `ranks` owners, the last one with padding; the losses add up.
void CheckDistill(const DistillCase& c, int64_t ranks, DType grad_type) {
  Stream& stream = TestStream();
  const std::string what = At(c.rows, c.width) + " on " + std::to_string(ranks) + " ranks";
  const Doubles logits = Normals(DType::kF32, c.rows * c.width, 1, 4.0);
  const Doubles teacher = Normals(DType::kF32, c.rows * c.width, 2, 4.0);
  std::vector<int32_t> targets = Integers(c.rows, static_cast<int32_t>(c.valid), 5);
  for (size_t n = 1; n < targets.size(); n += 3) targets[n] = -1;
  const Owned tt({c.rows}, targets);
  const auto ref = reference::Distill(logits, teacher, targets, c.valid, 8.0, kDistillZLoss);
  const auto naive = reference::Distill(As<float>(logits), As<float>(teacher), targets, c.valid,
                                        8.0f, kDistillZLoss);
  // Rows without a teacher have no lse either.
  const Doubles lses = reference::CrossEntropy(logits, targets, c.valid).lse;
  Doubles teacher_lses = reference::CrossEntropy(teacher, targets, c.valid).lse;
  for (size_t n = 0; n < targets.size(); ++n) {
    if (targets[n] < 0) teacher_lses[n] = std::numeric_limits<double>::quiet_NaN();
  }
  const Owned lse(DType::kF32, {c.rows}, lses), teacher_lse(DType::kF32, {c.rows}, teacher_lses);
  const Owned scale(DType::kF32, {1}, {8.0});
  const int64_t local = (c.width + ranks - 1) / ranks;
  Doubles losses(c.rows);
  for (int64_t r = 0; r < ranks; ++r) {
    const int64_t begin = r * local, valid = std::clamp<int64_t>(c.valid - begin, 0, local);
    // Padding, what lies beyond the vocabulary and the teacher of masked rows are NaN.
    Doubles z(c.rows * local, std::numeric_limits<double>::quiet_NaN()), t = z;
    Doubles ref_slice(c.rows * local);
    std::vector<float> naive_slice(c.rows * local);
    for (int64_t n = 0; n < c.rows; ++n) {
      const int64_t from = n * c.width + begin, to = n * local;
      std::copy_n(logits.begin() + from, valid, z.begin() + to);
      if (targets[n] >= 0) std::copy_n(teacher.begin() + from, valid, t.begin() + to);
      std::copy_n(ref.d_logits.begin() + from, valid, ref_slice.begin() + to);
      std::copy_n(naive.d_logits.begin() + from, valid, naive_slice.begin() + to);
    }
    const Owned tz(DType::kF32, {c.rows, local}, z), teachers(DType::kF32, {c.rows, local}, t);
    Owned d_logits(grad_type, {c.rows, local}), loss(DType::kF32, {c.rows});
    DistillArgs args = {.d_logits = d_logits,
                        .loss = loss,
                        .logits = tz,
                        .lse = lse,
                        .teacher = teachers,
                        .teacher_lse = teacher_lse,
                        .targets = tt,
                        .grad_scale = scale,
                        .z_loss = kDistillZLoss,
                        .begin = begin,
                        .valid = valid};
    Distill(stream, args);
    ExpectWithinBound(grad_type, d_logits.Get(), ref_slice, naive_slice, "d_logits" + what);
    const Doubles part = loss.Get();
    for (int64_t n = 0; n < c.rows; ++n) losses[n] += part[n];
    if (grad_type != DType::kF32) continue;
    args.d_logits = tz;
    Distill(stream, args);
    EXPECT_EQ(tz.Bytes(), d_logits.Bytes()) << what;
  }
  ExpectWithinBound(DType::kF32, losses, ref.loss, naive.loss, "loss" + what);
}

TEST(Distill, MatchesTheTwin) {
  for (const DistillCase& c : kDistillCases) {
    for (const DType grad_type : kFloatTypes) CheckDistill(c, 1, grad_type);
  }
}

TEST(Distill, SlicesOfTheVocabularyAddUp) {
  for (const int64_t ranks : {2, 4}) {
    CheckDistill({113, 239, 230}, ranks, DType::kF32);
    CheckDistill({7, 7, 2}, ranks, DType::kBF16);
  }
}

}  // namespace
}  // namespace tl
