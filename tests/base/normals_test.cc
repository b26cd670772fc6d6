// SPDX-License-Identifier: Apache-2.0
#include "base/normals.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/philox.h"

namespace tl {
namespace {

TEST(Normals, LineZeroIsPhiloxNormal) {
  const uint64_t key = StreamKey("noise", 7);
  EXPECT_EQ(key, HashName("noise", 5, 7));
  for (const uint64_t first : {0, 1, 6}) {
    std::vector<double> z(11);
    FillNormals(key, 0, first, absl::MakeSpan(z));
    for (size_t j = 0; j < z.size(); ++j)
      ASSERT_EQ(z[j], static_cast<double>(PhiloxNormal(key, first + j))) << first << " " << j;
  }
}

double Correlation(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0.0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum / static_cast<double>(a.size());
}

// Names, seeds and lines are streams apart: correlations of 10^5 numbers stay within 5 deviations.
TEST(Normals, StreamsHaveNothingInCommon) {
  constexpr size_t kCount = 100000;
  std::vector<std::vector<double>> streams;
  const auto add = [&](const char* name, uint64_t seed, uint64_t line) {
    FillNormals(StreamKey(name, seed), line, 0,
                absl::MakeSpan(streams.emplace_back(std::vector<double>(kCount))));
  };
  add("noise", 1, 0);
  add("noise", 1, 1);
  add("noise", 2, 0);
  add("label", 1, 0);
  FillSigns(StreamKey("noise", 1), 2,
            absl::MakeSpan(streams.emplace_back(std::vector<double>(kCount))));
  for (size_t a = 0; a < streams.size(); ++a) {
    for (size_t b = 0; b < streams.size(); ++b) {
      EXPECT_NEAR(Correlation(streams[a], streams[b]), a == b ? 1.0 : 0.0,
                  5.0 * (a == b ? M_SQRT2 : 1.0) / std::sqrt(kCount))
          << a << " " << b;
    }
  }
  for (const double sign : streams.back()) ASSERT_EQ(std::fabs(sign), 1.0);
}

TEST(Normals, QuantileInvertsTheDistribution) {
  for (const double z : {-8.0, -5.2, -3.0, -1.0, -0.1, 0.3, 1.7, 4.0}) {
    const double u = 0.5 * std::erfc(-z * M_SQRT1_2);
    // The upper tail has lost digits in u.
    EXPECT_NEAR(NormalQuantile(u), z, z > 2.0 ? 1e-11 : 1e-13) << z;
  }
  EXPECT_EQ(NormalQuantile(0.5), 0.0);
  EXPECT_EQ(NormalQuantile(0.25), -NormalQuantile(0.75));
  EXPECT_TRUE(std::isfinite(NormalQuantile(0x1p-53)));
}

}  // namespace
}  // namespace tl
