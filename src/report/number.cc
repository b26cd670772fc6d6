// SPDX-License-Identifier: Apache-2.0
#include "report/number.h"

#include <cmath>
#include <cstdint>

namespace tl {
namespace {

constexpr double kPowers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                              1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                              1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
constexpr int kLargest = 22;
constexpr uint64_t kFull = UINT64_MAX / 10 - 1;  // one more digit fits below it
constexpr int kMostExponent = 10000;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

double Scaled(uint64_t digits, int exponent) {
  const auto value = static_cast<double>(digits);
  if (exponent == 0 || digits == 0) return value;
  if (exponent > 0 && exponent <= kLargest) return value * kPowers[exponent];
  if (exponent < 0 && exponent >= -kLargest) return value / kPowers[-exponent];
  // In two parts, so that a small number is not zero on the way.
  const int half = exponent / 2;
  return value * std::pow(10.0, half) * std::pow(10.0, exponent - half);
}

}  // namespace

const char* ReadNumber(const char* text, double* value) {
  const bool negative = *text == '-';
  if (negative) ++text;
  if (!IsDigit(*text) || (*text == '0' && IsDigit(text[1]))) return nullptr;
  uint64_t digits = 0;
  int exponent = 0;
  for (; IsDigit(*text); ++text) {
    if (digits < kFull) {
      digits = digits * 10 + static_cast<uint64_t>(*text - '0');
    } else if (exponent < kMostExponent) {
      ++exponent;
    }
  }
  if (*text == '.') {
    if (!IsDigit(*++text)) return nullptr;
    for (; IsDigit(*text); ++text) {
      if (digits >= kFull) continue;
      digits = digits * 10 + static_cast<uint64_t>(*text - '0');
      --exponent;
    }
  }
  if (*text == 'e' || *text == 'E') {
    ++text;
    const bool small = *text == '-';
    if (small || *text == '+') ++text;
    if (!IsDigit(*text)) return nullptr;
    int power = 0;
    for (; IsDigit(*text); ++text)
      if (power < kMostExponent) power = power * 10 + (*text - '0');
    exponent += small ? -power : power;
  }
  *value = negative ? -Scaled(digits, exponent) : Scaled(digits, exponent);
  return text;
}

}  // namespace tl
