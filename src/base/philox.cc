// SPDX-License-Identifier: Apache-2.0
#include "base/philox.h"

#include <bit>
#include <cmath>

namespace tl {
namespace {

// ln(x) for normal x > 0: x = m 2^e with m in [sqrt(1/2), sqrt(2)), ln m = 2 atanh(s),
// s=(m-1)/(m+1).
float Log(float x) {
  uint32_t bits = std::bit_cast<uint32_t>(x);
  int e = static_cast<int>(bits >> 23) - 126;
  float m = std::bit_cast<float>((bits & 0x7fffffu) | 0x3f000000u);
  if (m < 0.70710678f) {
    m = m + m;
    --e;
  }
  const float s = (m - 1.0f) / (m + 1.0f);
  const float z = s * s;
  float p = std::fmaf(z, 0.2222222222f, 0.2857142857f);
  p = std::fmaf(z, p, 0.4f);
  p = std::fmaf(z, p, 0.6666666667f);
  p = std::fmaf(z, p, 2.0f);
  return std::fmaf(static_cast<float>(e), 0.693147181f, s * p);
}

}  // namespace

float NormalFromUniform(float u) {
  const float q = u - 0.5f;
  if (std::fabs(q) <= 0.425f) {
    const float r = std::fmaf(-q, q, 0.180625f);
    float num = std::fmaf(r, 59.109374720f, 159.29113202f);
    num = std::fmaf(r, num, 50.434271938f);
    num = std::fmaf(r, num, 3.3871327179f);
    float den = std::fmaf(r, 67.187563600f, 78.757757664f);
    den = std::fmaf(r, den, 17.895169469f);
    den = std::fmaf(r, den, 1.0f);
    return q * num / den;
  }
  // The tail's own probability, min(u, 1-u), is exact in both halves.
  const float tail = q < 0 ? u : 1.0f - u;
  float r = std::sqrt(-Log(tail));
  float value;
  if (r <= 5.0f) {
    r -= 1.6f;
    float num = std::fmaf(r, 0.17023821103f, 1.3067284816f);
    num = std::fmaf(r, num, 2.7568153900f);
    num = std::fmaf(r, num, 1.4234372777f);
    float den = std::fmaf(r, 0.12021132975f, 0.73700164250f);
    den = std::fmaf(r, den, 1.0f);
    value = num / den;
  } else {
    r -= 5.0f;
    float num = std::fmaf(r, 0.017337203997f, 0.42868294337f);
    num = std::fmaf(r, num, 3.0812263860f);
    num = std::fmaf(r, num, 6.6579051150f);
    float den = std::fmaf(r, 0.012258202635f, 0.24197894225f);
    den = std::fmaf(r, den, 1.0f);
    value = num / den;
  }
  return q < 0 ? -value : value;
}

}  // namespace tl
