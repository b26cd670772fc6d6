// SPDX-License-Identifier: Apache-2.0
// Arguments that an op refuses end the program before any backend sees them, with what was found,
// what was expected, and the line of the op's check.
#include "kernels/adamw.h"
#include "kernels/finish_gradients.h"
#include "kernels/matmul.h"
#include "kernels/modulated_norm.h"
#include "kernels/norm.h"
#include "tests/kernels/kernel_test.h"

namespace tl {
namespace {

class Checks : public testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(Checks, NameShapesAndTheOp) {
  const Owned x(DType::kF32, {2, 16}), w(DType::kF32, {8});
  EXPECT_DEATH(RmsNorm(TestStream(), {.y = x, .x = x, .w = w}),
               "\\[8\\], expected \\[16\\], at .*kernels/norm\\.cc:[0-9]+");
  const Owned a(DType::kF32, {3, 4}), b(DType::kF32, {5, 6}), c(DType::kF32, {3, 6});
  EXPECT_DEATH(Matmul(TestStream(), {.c = c, .a = a, .b = b}),
               "kernels/matmul\\.cc:[0-9]+: .*\\[3, 4\\] \\[5, 6\\] -> \\[3, 6\\]");
}

TEST_F(Checks, NameTypes) {
  const Owned x(DType::kF32, {2, 16}), w(DType::kBF16, {16});
  EXPECT_DEATH(RmsNorm(TestStream(), {.y = x, .x = x, .w = w}),
               "bf16, expected fp32, at .*kernels/norm\\.cc:[0-9]+");
}

TEST_F(Checks, NameStrides) {
  const Placed<StepScalars> scalars(StepScalars{});
  const Owned p(DType::kF32, {4, 3}), wide(DType::kF32, {4, 6});
  const Tensor half = wide.tensor().Slice(1, 0, 3);
  EXPECT_DEATH(
      AdamW(TestStream(), {.p = p, .m = p, .v = p, .grad = half, .scalars = scalars.get()}),
      "\\[4, 3\\], strides \\[6, 1\\], at .*kernels/adamw\\.cc:[0-9]+");
}

TEST_F(Checks, NameCounts) {
  const Placed<StepScalars> scalars(StepScalars{});
  const Owned sums(DType::kF32, {3});
  EXPECT_DEATH(FinishGradients(TestStream(), {.scalars = scalars.get(), .sums = sums}),
               "kernels/finish_gradients\\.cc:[0-9]+: .*3 vs 2");
}

// Rows that belong to no sample, and numbers for another count of samples.
TEST_F(Checks, NameSamples) {
  const Owned x(DType::kF32, {7, 4}), two(DType::kF32, {2, 4}), three(DType::kF32, {3, 4});
  const SampleRows samples = {.rows_per_sample = 3, .first_row = 2};
  EXPECT_DEATH(
      ModulatedNorm(TestStream(), {.y = x, .x = x, .shift = two, .scale = two, .samples = samples}),
      "rows 2 to 9 of 2 samples of 3 rows, at .*kernels/modulated_norm\\.cc:[0-9]+");
  EXPECT_DEATH(ModulatedNorm(TestStream(),
                             {.y = x, .x = x, .shift = two, .scale = three, .samples = samples}),
               "\\[2, 4\\], expected \\[3, 4\\], at .*kernels/modulated_norm\\.cc:[0-9]+");
}

}  // namespace
}  // namespace tl
