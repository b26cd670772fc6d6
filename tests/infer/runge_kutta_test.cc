// SPDX-License-Identifier: Apache-2.0
#include "infer/runge_kutta.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

namespace tl {
namespace {

// Rows y' = -k (y - sin t) of several k, in two components.
RowSlopes Relaxation(const std::vector<double>& rates) {
  return [rates](absl::Span<const double> t, absl::Span<const double> y, absl::Span<double> out) {
    for (size_t i = 0; i < y.size(); ++i) out[i] = -rates[i / 2] * (y[i] - std::sin(t[i / 2]));
    return absl::OkStatus();
  };
}

double Exact(double k, double y0, double t) {
  const double steady = (k * k * std::sin(t) - k * std::cos(t)) / (k * k + 1.0);
  return steady + (y0 + k / (k * k + 1.0)) * std::exp(-k * t);
}

TEST(RungeKutta, RowsAreRightAndAlone) {
  const std::vector<double> rates = {0.5, 1.0, 80.0};
  for (const double tolerance : {1e-4, 1e-6, 1e-9}) {
    std::vector<double> y = {1.0, 2.0, 1.0, 2.0, 1.0, 2.0};
    const auto counts =
        IntegrateRows({.to = 3.0, .rows = 3, .tolerance = tolerance}, Relaxation(rates), &y);
    ASSERT_TRUE(counts.ok()) << counts.status();
    for (size_t i = 0; i < y.size(); ++i)
      EXPECT_NEAR(y[i], Exact(rates[i / 2], 1.0 + i % 2, 3.0), 10.0 * tolerance) << i;
    EXPECT_GT((*counts)[2], 2 * (*counts)[0]);  // the stiff row's steps are not the others'
    for (size_t r = 0; r < rates.size(); ++r) {
      std::vector<double> alone = {1.0, 2.0};
      const auto count = IntegrateRows({.to = 3.0, .rows = 1, .tolerance = tolerance},
                                       Relaxation({rates[r]}), &alone);
      EXPECT_EQ(alone, (std::vector<double>{y[2 * r], y[2 * r + 1]}));
      EXPECT_EQ((*count)[0], (*counts)[r]);
    }
  }
}

TEST(RungeKutta, GoesBackAndStandsStill) {
  std::vector<double> y = {Exact(0.7, 1.0, 2.0), Exact(0.7, 2.0, 2.0)};
  ASSERT_TRUE(
      IntegrateRows({.from = 2.0, .to = 0.0, .rows = 1, .tolerance = 1e-9}, Relaxation({0.7}), &y)
          .ok());
  EXPECT_NEAR(y[0], 1.0, 1e-8);
  EXPECT_NEAR(y[1], 2.0, 1e-8);
  const std::vector<double> before = y;
  ASSERT_TRUE(IntegrateRows({.from = 1.0, .to = 1.0, .rows = 1}, Relaxation({0.7}), &y).ok());
  EXPECT_EQ(y, before);
}

// A component that is judged alone is not hidden by many that are still.
TEST(RungeKutta, JudgesTheLastAlone) {
  constexpr size_t kStill = 10000;
  const RowSlopes slopes = [](absl::Span<const double> t, absl::Span<const double>,
                              absl::Span<double> out) {
    std::fill(out.begin(), out.end(), 0.0);
    out[kStill] = 20.0 * std::cos(20.0 * t[0]);
    return absl::OkStatus();
  };
  const auto error = [&](int64_t alone) {
    std::vector<double> y(kStill + 1);
    EXPECT_TRUE(
        IntegrateRows({.to = 3.0, .rows = 1, .tolerance = 1e-5, .judged_alone = alone}, slopes, &y)
            .ok());
    return std::fabs(y[kStill] - std::sin(60.0));
  };
  EXPECT_LE(error(1), 1e-4);
  EXPECT_GT(error(0), 3.0 * error(1));
}

TEST(RungeKutta, GivesUpOnNoise) {
  int64_t calls = 0;
  const RowSlopes slopes = [&](absl::Span<const double>, absl::Span<const double>,
                               absl::Span<double> out) {
    out[0] = ++calls % 2 == 0 ? 1e9 : -1e9;
    return absl::OkStatus();
  };
  std::vector<double> y = {0.0};
  const std::vector<int64_t> samples = {9};
  const auto status =
      IntegrateRows({.to = 1.0, .rows = 1, .samples = samples}, slopes, &y).status();
  EXPECT_NE(status.message().find("sample 9: the integral's error stays above 1e-05 at 0 after "),
            std::string::npos)
      << status;
  // Nor does it go on for ever in steps that are too small to see.
  const RowSlopes fast = [](absl::Span<const double> t, absl::Span<const double>,
                            absl::Span<double> out) {
    out[0] = std::cos(1e6 * t[0]);
    return absl::OkStatus();
  };
  const auto endless = IntegrateRows({.to = 1.0, .rows = 1, .tolerance = 1e-12}, fast, &y).status();
  EXPECT_NE(endless.message().find("after 100003 evaluations"), std::string::npos) << endless;
  const RowSlopes failing = [](absl::Span<const double>, absl::Span<const double>,
                               absl::Span<double>) { return absl::InternalError("broken"); };
  EXPECT_EQ(IntegrateRows({.to = 1.0, .rows = 1}, failing, &y).status().message(), "broken");
}

}  // namespace
}  // namespace tl
