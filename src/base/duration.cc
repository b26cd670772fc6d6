// SPDX-License-Identifier: Apache-2.0
#include "base/duration.h"

#include <charconv>
#include <cmath>
#include <cstdint>
#include <iterator>

#include "absl/strings/str_cat.h"

namespace tl {
namespace {

struct Unit {
  char name;
  double seconds;
};
constexpr Unit kUnits[] = {{'d', 86400}, {'h', 3600}, {'m', 60}, {'s', 1}};  // falling

}  // namespace

absl::StatusOr<Duration> ParseDuration(const std::string& text) {
  const auto wrong = [&] {
    return absl::InvalidArgumentError(absl::StrCat(
        "expected a duration such as \"3h50m\", \"90s\" or seconds, found \"", text, "\""));
  };
  if (text.empty()) return wrong();
  Duration total;
  const char* at = text.data();
  const char* const end = at + text.size();
  for (size_t unit = 0; at != end;) {
    double number = 0;
    const auto [after, error] = std::from_chars(at, end, number, std::chars_format::fixed);
    if (error != std::errc() || !(number >= 0) || !std::isfinite(number)) return wrong();
    if (after == end) {  // no unit: seconds, and nothing before them
      if (at != text.data()) return wrong();
      return Duration{number};
    }
    while (unit < std::size(kUnits) && kUnits[unit].name != *after) ++unit;
    if (unit == std::size(kUnits)) return wrong();
    total.seconds += number * kUnits[unit++].seconds;
    at = after + 1;
  }
  return total;
}

std::string ToString(Duration duration) {
  std::string text;
  double rest = duration.seconds;
  for (const Unit& unit : kUnits) {
    if (unit.name == 's') break;
    const double whole = std::floor(rest / unit.seconds);
    if (whole < 1) continue;
    absl::StrAppend(&text, static_cast<int64_t>(whole), std::string(1, unit.name));
    rest -= whole * unit.seconds;
  }
  if (rest > 0 || text.empty()) {
    char digits[64];
    const auto end = std::to_chars(digits, digits + sizeof(digits), rest).ptr;
    absl::StrAppend(&text, std::string(digits, end), "s");
  }
  return text;
}

}  // namespace tl
