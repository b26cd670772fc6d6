// SPDX-License-Identifier: Apache-2.0
#include "objective/training_times.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <set>
#include <vector>

#include "base/normals.h"

namespace tl {
namespace {

// How far the share of points below any place is from the place.
double StarDiscrepancy(std::vector<double> points) {
  std::sort(points.begin(), points.end());
  const auto n = static_cast<double>(points.size());
  double worst = 0.0;
  for (size_t i = 0; i < points.size(); ++i) {
    const auto at = static_cast<double>(i);
    worst = std::max({worst, points[i] - at / n, (at + 1.0) / n - points[i]});
  }
  return worst;
}

TEST(TrainingTimes, AnyRunOfSamplesIsSpreadEvenly) {
  double worst = 0.0, worst_drawn = 0.0;
  std::mt19937_64 random(1);
  for (uint64_t seed = 0; seed < 300; ++seed) {
    const uint64_t offset = StreamKey("times", seed);
    std::vector<double> points, drawn;
    for (int64_t k = 0; k < 128; ++k) {
      points.push_back(KroneckerPoint(offset, static_cast<int64_t>(seed) * 1000003 + k));
      drawn.push_back(static_cast<double>(random() >> 11) * 0x1p-53);
    }
    worst = std::max(worst, StarDiscrepancy(points));
    worst_drawn = std::max(worst_drawn, StarDiscrepancy(drawn));
  }
  EXPECT_LE(worst, 0.025);
  EXPECT_GT(worst_drawn, 0.05);  // independent draws are not
}

TEST(TrainingTimes, EveryPointIsUniformOverSeeds) {
  std::vector<double> points;
  for (uint64_t seed = 0; seed < 4000; ++seed)
    points.push_back(KroneckerPoint(StreamKey("times", seed), 12345));
  EXPECT_LE(StarDiscrepancy(points), 1.63 / std::sqrt(4000.0));  // Kolmogorov, 1 %
}

// The mean over a run of samples is that over all times: E[ln noise] of each rule.
TEST(TrainingTimes, MeansAreThoseOfTheRule) {
  for (const ProcessKind& kind : ProcessKinds()) {
    SCOPED_TRACE(kind.name);
    ProcessOptions options;
    options.levels = 11;
    const Process process(kind, options);
    const double low = std::log(process.noise_min()), high = std::log(process.noise_max());
    constexpr int kCount = 1 << 14;
    const auto mean = [&](TrainingTimes times) {
      double sum = 0.0;
      for (int k = 0; k < kCount; ++k) {
        const double noise =
            TrainingNoise(process, times, KroneckerPoint(StreamKey("times", 3), k));
        EXPECT_GE(noise, process.noise_min());
        EXPECT_LE(noise, process.noise_max());
        sum += std::log(noise);
      }
      return sum / kCount;
    };
    EXPECT_NEAR(mean(TrainingTimes::kLikelihood), 0.5 * (low + high), 1e-3 * (high - low));
    EXPECT_NEAR(mean(TrainingTimes::kLadder), 0.5 * (low + high), 1e-3 * (high - low));
    double even = 0.0;
    for (int k = 0; k < kCount; ++k) {
      const double t =
          process.times().low + (k + 0.5) / kCount * (process.times().high - process.times().low);
      even += std::log(process.At(t).noise()) / kCount;
    }
    EXPECT_NEAR(mean(TrainingTimes::kUniform), even, 2e-3 * (high - low));
  }
}

TEST(TrainingTimes, LognormalHasItsMoments) {
  const Process process(*FindProcessKind("edm"), {});
  constexpr int kCount = 1 << 14;
  double sum = 0.0, squares = 0.0;
  for (int k = 0; k < kCount; ++k) {
    const double log = std::log(TrainingNoise(process, TrainingTimes::kLognormal,
                                              KroneckerPoint(StreamKey("times", 5), k)));
    sum += log;
    squares += log * log;
  }
  const double mean = sum / kCount;
  EXPECT_NEAR(mean, -1.2, 2e-3);
  EXPECT_NEAR(std::sqrt(squares / kCount - mean * mean), 1.2, 2e-3);
}

TEST(TrainingTimes, LadderHasItsLevelsAlone) {
  ProcessOptions options;
  options.levels = 10;
  const Process process(*FindProcessKind("ve"), options);
  std::set<double> found;
  for (int64_t k = 0; k < 1000; ++k)
    found.insert(TrainingNoise(process, TrainingTimes::kLadder, KroneckerPoint(1, k)));
  ASSERT_EQ(found.size(), 10u);
  double expected = process.noise_max();
  for (int64_t i = 0; i < 10; ++i) {
    EXPECT_NEAR(LadderNoise(process, 10, i), expected, 1e-9 * expected);
    EXPECT_TRUE(found.contains(LadderNoise(process, 10, i)));
    expected *= std::pow(process.noise_min() / process.noise_max(), 1.0 / 9.0);
  }
}

}  // namespace
}  // namespace tl
