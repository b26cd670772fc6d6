// SPDX-License-Identifier: Apache-2.0
#include "device/dtype.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

namespace tl {
namespace {

// The value of an IEEE 754 pattern with that many exponent and fraction bits, from the definition.
double Value(uint32_t bits, int exponent_bits, int fraction_bits) {
  const double sign = (bits >> (exponent_bits + fraction_bits)) & 1 ? -1.0 : 1.0;
  const int top = (1 << exponent_bits) - 1, bias = top / 2;
  const int exponent = static_cast<int>(bits >> fraction_bits) & top;
  const double fraction = std::ldexp(bits & ((1u << fraction_bits) - 1), -fraction_bits);
  if (exponent == top) {
    return fraction == 0 ? sign * std::numeric_limits<double>::infinity()
                         : std::numeric_limits<double>::quiet_NaN();
  }
  return exponent == 0 ? sign * std::ldexp(fraction, 1 - bias)
                       : sign * std::ldexp(1.0 + fraction, exponent - bias);
}

struct Format {
  int exponent_bits, fraction_bits;
};
constexpr Format kBF16Format = {8, 7}, kF16Format = {5, 10};

// x rounded to nearest even, from the definition: candidates are the neighbours on the type's grid.
uint32_t SlowRound(double x, Format f) {
  const uint32_t sign = std::signbit(x) ? 0x8000u : 0u;
  const double magnitude = std::fabs(x);
  const uint32_t infinity = ((1u << f.exponent_bits) - 1) << f.fraction_bits;
  uint32_t low = 0, high = infinity;  // invariant: value(low) <= magnitude, below value(high)
  while (high - low > 1) {
    const uint32_t middle = (low + high) / 2;
    (Value(middle, f.exponent_bits, f.fraction_bits) <= magnitude ? low : high) = middle;
  }
  // Past the largest finite value the grid goes on as if the exponent were unbounded.
  const double below = Value(low, f.exponent_bits, f.fraction_bits);
  const double above = high == infinity
                           ? 2 * below - Value(low - 1, f.exponent_bits, f.fraction_bits)
                           : Value(high, f.exponent_bits, f.fraction_bits);
  if (magnitude >= above) return sign | infinity;
  const double to_low = magnitude - below, to_high = above - magnitude;
  if (to_low == to_high) return sign | (low % 2 == 0 ? low : high);
  return sign | (to_low < to_high ? low : high);
}

template <typename T>
void CheckWidening(Format f) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const T x{static_cast<uint16_t>(bits)};
    const float got = ToFloat(x);
    const double expected = Value(bits, f.exponent_bits, f.fraction_bits);
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(got)) << bits;
      ASSERT_TRUE(std::isnan(ToFloat(FromFloat<T>(got)))) << bits;
      continue;
    }
    ASSERT_EQ(got, expected) << bits;
    ASSERT_EQ(std::signbit(got), std::signbit(expected)) << bits;
    ASSERT_EQ(FromFloat<T>(got).bits, bits);
  }
}

// Every fp32 pattern near a value of the type or halfway between two, and a sweep over all.
template <typename T>
void CheckNarrowing(Format f) {
  const auto check = [&](uint32_t bits) {
    const float x = std::bit_cast<float>(bits);
    if (std::isnan(x)) {
      ASSERT_TRUE(std::isnan(ToFloat(FromFloat<T>(x)))) << bits;
    } else {
      ASSERT_EQ(FromFloat<T>(x).bits, SlowRound(x, f)) << x;
    }
  };
  const uint32_t half = 1u << (22 - f.fraction_bits);
  for (uint32_t i = 0; i < 65536; ++i) {
    const auto bits = std::bit_cast<uint32_t>(ToFloat(T{static_cast<uint16_t>(i)}));
    for (const uint32_t by : {0u, 1u, half - 1, half, half + 1, 2 * half - 1}) check(bits + by);
  }
  for (uint64_t bits = 0; bits < uint64_t{1} << 32; bits += 8009)
    check(static_cast<uint32_t>(bits));
  // fp16 subnormals are rounded by another path: their halfway points.
  for (int k = 0; k < 2048; ++k) {
    const auto at = std::bit_cast<uint32_t>(std::ldexp(static_cast<float>(k), -25));
    for (const uint32_t by : {0u, 1u, ~0u}) check(at + by);
  }
}

TEST(DType, WidensEveryPattern) {
  CheckWidening<BF16>(kBF16Format);
  CheckWidening<F16>(kF16Format);
}

TEST(DType, NarrowsToNearestEven) {
  CheckNarrowing<BF16>(kBF16Format);
  CheckNarrowing<F16>(kF16Format);
}

TEST(DType, SizesAndNames) {
  EXPECT_EQ(SizeOf(DType::kF64), 8u);
  EXPECT_EQ(SizeOf(DType::kI64), 8u);
  EXPECT_EQ(SizeOf(DType::kF32), 4u);
  EXPECT_EQ(SizeOf(DType::kI32), 4u);
  EXPECT_EQ(SizeOf(DType::kBF16), 2u);
  EXPECT_EQ(SizeOf(DType::kF16), 2u);
  EXPECT_EQ(SizeOf(DType::kU8), 1u);
  EXPECT_EQ(std::string(Name(DType::kBF16)), "bf16");
  EXPECT_EQ(std::string(Name(DType::kI32)), "int32");
}

}  // namespace
}  // namespace tl
