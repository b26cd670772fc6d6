// SPDX-License-Identifier: Apache-2.0
#include "base/human.h"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iterator>

#include "absl/strings/str_format.h"

namespace tl {

std::string HumanCount(double n) {
  constexpr const char* kUnits[] = {"", "k", "M", "G", "T", "P", "E"};
  size_t unit = 0;
  while (std::abs(n) >= 999.5 && unit + 1 < std::size(kUnits)) {
    n /= 1000.0;
    ++unit;
  }
  const int digits = unit == 0 || std::abs(n) >= 99.95 ? 0 : std::abs(n) >= 9.995 ? 1 : 2;
  return absl::StrFormat("%.*f%s", digits, n, kUnits[unit]);
}

std::string HumanTime(double seconds) {
  if (seconds > 0.0 && seconds < 0.9995) return absl::StrFormat("%.3gms", seconds * 1000.0);
  if (seconds >= 0.9995 && seconds < 9.95) return absl::StrFormat("%.1fs", seconds);
  const auto s = static_cast<int64_t>(std::llround(seconds));
  if (s < 60) return absl::StrFormat("%ds", s);
  if (s < 3600) return absl::StrFormat("%dm%02ds", s / 60, s % 60);
  if (s < 86400) return absl::StrFormat("%dh%02dm", s / 3600, s / 60 % 60);
  return absl::StrFormat("%dd%02dh", s / 86400, s / 3600 % 24);
}

}  // namespace tl
