// SPDX-License-Identifier: Apache-2.0
#include "kernels/finish_gradients.h"

#include <cstring>
#include <limits>

#include "tests/kernels/kernel_test.h"

namespace tl {
namespace {

constexpr float kInfiniteNorm = std::numeric_limits<float>::infinity();

StepScalars Finish(StepScalars before, float sum_squares, float nonfinite, float clip) {
  const Placed<StepScalars> scalars(before);
  const Owned sums({2}, std::vector<float>{sum_squares, nonfinite});
  FinishGradients(TestStream(), {.scalars = scalars.get(), .sums = sums, .clip = clip});
  return scalars.Get();
}

TEST(FinishGradients, ClipsAndUnscales) {
  struct Case {
    float loss_scale, sum_squares, clip;
  };
  for (const auto [loss_scale, sum_squares, clip] :
       {Case{1, 9, 1}, Case{1, 0.25, 1}, Case{1024, 3e6, 2}, Case{1024, 3e9, 0}, Case{8, 0, 1}}) {
    const StepScalars before = {
        .lr = 3, .loss_scale = loss_scale, .grad_scale = {5, 6}, .skip = 1, .adam_step = 7};
    const StepScalars s = Finish(before, sum_squares, 0, clip);
    const double norm = std::sqrt(double{sum_squares}) / loss_scale;
    const double factor = clip > 0 ? std::min(1.0, clip / (norm + 1e-6)) : 1.0;
    EXPECT_EQ(s.skip, 0);
    EXPECT_NEAR(s.grad_norm, norm, 1e-6 * norm);
    EXPECT_NEAR(s.grad_factor, factor / loss_scale, 1e-6 * factor / loss_scale);
    // The rest is as it was.
    EXPECT_EQ(s.lr, before.lr);
    EXPECT_EQ(s.loss_scale, before.loss_scale);
    EXPECT_EQ(std::memcmp(s.grad_scale, before.grad_scale, sizeof(s.grad_scale)), 0);
    EXPECT_EQ(s.adam_step, before.adam_step);
  }
}

TEST(FinishGradients, SkipsWhatIsNotFinite) {
  const StepScalars before = {.loss_scale = 16};
  EXPECT_EQ(Finish(before, 4, 1, 1).skip, 1);
  // No norm of the finite rest, which may be none.
  EXPECT_TRUE(std::isnan(Finish(before, 4, 1, 1).grad_norm));
  EXPECT_TRUE(std::isnan(Finish(before, 0, 7, 0).grad_norm));
  EXPECT_EQ(Finish(before, kInfiniteNorm, 0, 1).grad_norm, kInfiniteNorm);
  EXPECT_EQ(Finish(before, kInfiniteNorm, 0, 1).skip, 1);
  EXPECT_EQ(Finish(before, std::numeric_limits<float>::quiet_NaN(), 0, 0).skip, 1);
  EXPECT_EQ(Finish(before, std::numeric_limits<float>::max(), 0, 1).skip, 0);
}

}  // namespace
}  // namespace tl
