// SPDX-License-Identifier: Apache-2.0
#include "base/philox.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>
#include <string>
#include <vector>

#include "base/crc32c.h"

namespace tl {
namespace {

std::vector<uint32_t> Words(const PhiloxWords& p) { return {p.w, p.w + 4}; }

// kat_vectors of Random123.
TEST(Philox, KnownAnswers) {
  EXPECT_EQ(Words(Philox(0, 0, 0)),
            (std::vector<uint32_t>{0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u}));
  EXPECT_EQ(Words(Philox(~uint64_t{0}, ~uint64_t{0}, ~uint64_t{0})),
            (std::vector<uint32_t>{0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu}));
  EXPECT_EQ(Words(Philox(0x299f31d0a4093822u, 0x85a308d3243f6a88u, 0x0370734413198a2eu)),
            (std::vector<uint32_t>{0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u}));
}

TEST(Philox, UniformsLieStrictlyInside) {
  EXPECT_EQ(UniformFromWord(0), 0x1p-24f);
  EXPECT_EQ(UniformFromWord(0xffffffffu), 1.0f - 0x1p-24f);
  EXPECT_EQ(UniformFromWord(0x80000000u), 0.5f + 0x1p-24f);
}

double Probability(double z) { return 0.5 * std::erfc(-z * M_SQRT1_2); }

// Over the whole grid of uniforms (every 61st, and all of both ends): the normal is right to about
// 1e-6 relative, and odd about 1/2.
TEST(Philox, NormalsInvertTheDistribution) {
  double worst = 0.0;
  for (uint32_t k = 0; k < 1u << 23; k += k < 5000 ? 1 : 61) {
    const float u = UniformFromWord(k << 9);
    const float z = NormalFromUniform(u);
    ASSERT_EQ(NormalFromUniform(1.0f - u), -z) << u;
    if (u > 0.5f) continue;
    // One Newton step gives the error: dz = (P(z) - u) / density.
    const double density = std::exp(-0.5 * double{z} * z) / std::sqrt(2 * M_PI);
    const double error = std::fabs((Probability(z) - u) / density);
    worst = std::max(worst, error / std::max(0.01, std::fabs(double{z})));
  }
  EXPECT_LE(worst, 1e-6);
  EXPECT_EQ(NormalFromUniform(0.5f), 0.0f);
}

TEST(Philox, MomentsAndQuantiles) {
  constexpr int kCount = 1 << 20;
  std::vector<float> z(kCount);
  double moments[5] = {};
  for (int i = 0; i < kCount; ++i) {
    z[i] = PhiloxNormal(42, i);
    double power = 1.0;
    for (double& m : moments) {
      m += power / kCount;
      power *= z[i];
    }
  }
  // Within five standard errors: the variances of z, z^2, z^3, z^4 are 1, 2, 15, 96.
  const double unit = 5.0 / std::sqrt(kCount);
  EXPECT_NEAR(moments[1], 0.0, unit);
  EXPECT_NEAR(moments[2], 1.0, unit * std::sqrt(2.0));
  EXPECT_NEAR(moments[3], 0.0, unit * std::sqrt(15.0));
  EXPECT_NEAR(moments[4], 3.0, unit * std::sqrt(96.0));
  std::sort(z.begin(), z.end());
  for (const double p : {0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999})
    EXPECT_NEAR(Probability(z[static_cast<int>(p * kCount)]), p, unit * std::sqrt(p * (1 - p)));
}

// Nothing but IEEE operations and fma goes in, so these bits hold on every machine and compiler.
TEST(Philox, NormalsHaveTheSameBitsEverywhere) {
  constexpr int kCount = 1 << 20;
  std::vector<float> z(kCount);
  for (int i = 0; i < kCount; ++i) z[i] = PhiloxNormal(1234, i);
  EXPECT_EQ(Crc32c(z.data(), z.size() * sizeof(float)), 0x1260943bu);
}

TEST(Philox, StreamsOfDifferentNamesAndSeedsDiffer) {
  std::set<uint64_t> keys;
  const std::string names[] = {
      "", "a", "b", "ab", "ba", "embedding", "blocks.0.attn.q", "blocks.1.attn.q"};
  for (const std::string& name : names)
    for (uint64_t seed = 0; seed < 100; ++seed)
      keys.insert(HashName(name.data(), name.size(), seed));
  EXPECT_EQ(keys.size(), 800u);
}

}  // namespace
}  // namespace tl
