// SPDX-License-Identifier: Apache-2.0
#include "tests/simt/tensor_core.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

#include "tests/simt/control.h"

namespace tl::simt {
namespace {

constexpr int kFractionBits = 25;
constexpr int kLowestExponent = -133;  // that anything is aligned to

MmaSums& Setting() {
  static MmaSums sums = [] {
    const char* name = std::getenv("TL_SIMT_MMA");
    return name != nullptr && name == std::string("truncate") ? MmaSums::kTruncated
                                                              : MmaSums::kRounded;
  }();
  return sums;
}

// Of x = 1.f 2^e. Subnormal numbers and zero have the smallest.
int Exponent(float x, int smallest) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof(bits));
  return std::max(static_cast<int>(bits >> 23 & 0xff) - 127, smallest);
}

// 2^e.
double PowerOfTwo(int e) {
  const uint64_t bits = static_cast<uint64_t>(e + 1023) << 52;
  double x;
  std::memcpy(&x, &bits, sizeof(x));
  return x;
}

float TowardsZero(double x) {
  const auto nearest = static_cast<float>(x);
  if (std::isinf(nearest) || std::abs(static_cast<double>(nearest)) <= std::abs(x)) return nearest;
  return std::nextafter(nearest, 0.0f);
}

}  // namespace

void SetMmaSums(MmaSums sums) { Setting() = sums; }
MmaSums CurrentMmaSums() { return Setting(); }

float TensorCoreSum(float sum, const float* a, const float* b, int smallest_exponent) {
  double product[kBlockProducts];
  int largest = std::max(Exponent(sum, -126), kLowestExponent);
  double finite = sum;
  for (int k = 0; k < kBlockProducts; ++k) {
    product[k] = static_cast<double>(a[k]) * b[k];
    finite += product[k];
    if (product[k] != 0.0)
      largest =
          std::max(largest, Exponent(a[k], smallest_exponent) + Exponent(b[k], smallest_exponent));
  }
  if (!std::isfinite(finite)) return static_cast<float>(finite);
  const double up = PowerOfTwo(kFractionBits - largest);
  auto whole = static_cast<int64_t>(sum * up);
  for (const double x : product) whole += static_cast<int64_t>(x * up);
  return TowardsZero(static_cast<double>(whole) * PowerOfTwo(largest - kFractionBits));
}

}  // namespace tl::simt
