// SPDX-License-Identifier: Apache-2.0
#include "report/thin.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "report/metric_table.h"

namespace tl {
namespace {

std::vector<double> Steps(size_t count) {
  std::vector<double> x(count);
  for (size_t i = 0; i < count; ++i) x[i] = static_cast<double>(i);
  return x;
}

bool Holds(const Thinned& thin, double x, double y) {
  for (const Stroke& stroke : thin.strokes)
    for (const Point& point : stroke)
      if (point == Point{x, y}) return true;
  return false;
}

TEST(Thin, KeepsEverySpikeAndBothEnds) {
  constexpr size_t kCount = 100000;
  const std::vector<double> x = Steps(kCount);
  std::vector<float> y(kCount);
  for (size_t i = 0; i < kCount; ++i) y[i] = std::sin(1e-3f * static_cast<float>(i));
  for (size_t spike = 77; spike < kCount; spike += 1013) y[spike] = spike % 2 == 0 ? 50.0f : -50.0f;
  const Thinned thin = Thin(x, y, 0.0, kCount, 800);
  ASSERT_EQ(thin.strokes.size(), 1u);
  EXPECT_LE(thin.strokes[0].size(), 2u * 800 + 2);
  for (size_t spike = 77; spike < kCount; spike += 1013)
    EXPECT_TRUE(Holds(thin, x[spike], y[spike]));
  EXPECT_EQ(thin.strokes[0].front(), (Point{0.0, y[0]}));
  EXPECT_EQ(thin.strokes[0].back(), (Point{x.back(), y.back()}));
  for (size_t i = 1; i < thin.strokes[0].size(); ++i)
    ASSERT_LT(thin.strokes[0][i - 1].x, thin.strokes[0][i].x);
}

TEST(Thin, KeepsAllOfAFew) {
  const std::vector<double> x = {1, 2, 3, 4};
  const std::vector<float> y = {4, 1, 3, 3};
  const Thinned thin = Thin(x, y, 0, 4, 800);
  ASSERT_EQ(thin.strokes.size(), 1u);
  EXPECT_EQ(thin.strokes[0], (Stroke{{1, 4}, {2, 1}, {3, 3}, {4, 3}}));
  // One place, one bucket.
  EXPECT_EQ(Thin(x, y, 0, 0, 1).strokes[0], (Stroke{{1, 4}, {2, 1}, {4, 3}}));
}

TEST(Thin, NullsAreToldAndPartTheCurve) {
  const std::vector<double> x = {0, 1, 2, 3, 4, 5};
  const Thinned thin = Thin(x, std::vector<float>{1, kNull, kNull, 2, kAbsent, 3}, 0, 6, 6);
  ASSERT_EQ(thin.strokes.size(), 2u);
  EXPECT_EQ(thin.strokes[0], (Stroke{{0, 1}}));
  EXPECT_EQ(thin.strokes[1], (Stroke{{3, 2}, {5, 3}}));
  EXPECT_EQ(thin.missing, (std::vector<double>{1, 2}));
  // A null beside numbers in a bucket is told too.
  const Thinned coarse = Thin(x, std::vector<float>{1, kNull, 7, 2, 5, 3}, 0, 6, 1);
  EXPECT_EQ(coarse.missing, (std::vector<double>{1}));
  EXPECT_EQ(coarse.strokes[0], (Stroke{{0, 1}, {2, 7}, {5, 3}}));
  const Thinned none = Thin(x, std::vector<float>(6, kNull), 0, 6, 3);
  EXPECT_TRUE(none.strokes.empty());
  EXPECT_EQ(none.missing.size(), 3u);
  EXPECT_TRUE(Thin({}, {}, 0, 1, 5).strokes.empty());
}

TEST(Means, OfEachBucket) {
  const std::vector<double> x = {0, 1, 2, 3, 7};
  EXPECT_EQ(Means(x, std::vector<float>{1, 3, kNull, 5, 9}, 0, 8, 2),
            (Stroke{{4.0 / 3.0, 3}, {7, 9}}));
  EXPECT_EQ(Means(x, std::vector<float>{2, 4, kAbsent, 8, 9}, 0, 8, 4),
            (Stroke{{0.5, 3}, {3, 8}, {7, 9}}));
}

}  // namespace
}  // namespace tl
