// SPDX-License-Identifier: Apache-2.0
#include "config/key.h"

#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace tl {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

}  // namespace

const Range kAnyNumber = {-kInfinity, kInfinity};
const Range kCount = {1, kInfinity};
const Range kZeroOrMore = {0, kInfinity};
const Range kPositive = {0, kInfinity, Range::kAboveLow};
const Range kFromZeroToBelowOne = {0, 1, Range::kBelowHigh};

bool Range::Contains(double x) const {
  if (!std::isfinite(x)) return false;
  const bool low_ok = ends == kAboveLow || ends == kOpen ? x > low : x >= low;
  const bool high_ok = ends == kBelowHigh || ends == kOpen ? x < high : x <= high;
  return low_ok && high_ok;
}

std::string Range::ToString() const {
  const bool above = ends == kAboveLow || ends == kOpen;
  const bool below = ends == kBelowHigh || ends == kOpen;
  if (high == kInfinity) return absl::StrCat(above ? "above " : "at least ", low);
  return absl::StrCat(above ? "above " : "from ", low, below ? " to below " : " to ", high);
}

bool ConfigKey::is_text() const {
  return type == ValueType::kText || type == ValueType::kPath || type == ValueType::kChoice ||
         type == ValueType::kDuration || type == ValueType::kPaths;
}

std::string ConfigKey::type_text() const {
  switch (type) {
    case ValueType::kBool:
      return "true or false";
    case ValueType::kInteger:
      return "integer, " + range.ToString();
    case ValueType::kNumber:
      return "number, " + range.ToString();
    case ValueType::kText:
    case ValueType::kPath:
      return "string";
    case ValueType::kChoice: {
      const auto quote = [](std::string* out, const std::string& c) { *out += QuoteToml(c); };
      return "one of " + absl::StrJoin(choices, ", ", quote);
    }
    case ValueType::kDuration:
      return "duration such as \"3h50m\", \"90s\" or seconds";
    case ValueType::kIntegers:
      return "list of integers, each " + range.ToString();
    case ValueType::kNumbers:
      return "list of numbers, each " + range.ToString();
    case ValueType::kPaths:
      return "paths";
  }
  return "";
}

}  // namespace tl
