// SPDX-License-Identifier: Apache-2.0
#include "config/value.h"

#include <algorithm>
#include <charconv>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace tl {
namespace {

struct TomlText {
  std::string operator()(bool value) const { return value ? "true" : "false"; }
  std::string operator()(int64_t value) const { return absl::StrCat(value); }
  std::string operator()(const std::string& value) const { return QuoteToml(value); }
  std::string operator()(Duration value) const { return QuoteToml(ToString(value)); }
  // The shortest digits that give the same number back.
  std::string operator()(double value) const {
    char buffer[64];
    const auto end = std::to_chars(buffer, buffer + sizeof(buffer), value).ptr;
    std::string text(buffer, end);
    if (text.find_first_of(".en") == std::string::npos) text += ".0";
    return text;
  }
  std::string operator()(const std::vector<int64_t>& integers) const {
    return List(integers, [this](int64_t x) { return (*this)(x); });
  }
  std::string operator()(const std::vector<double>& numbers) const {
    return List(numbers, [this](double x) { return (*this)(x); });
  }
  std::string operator()(const std::vector<WeightedPath>& paths) const {
    const bool weighted =
        std::any_of(paths.begin(), paths.end(), [](const auto& p) { return p.weight != 1.0; });
    return List(paths, [&](const WeightedPath& p) {
      if (!weighted && p.labels.empty()) return QuoteToml(p.path);
      return absl::StrCat("{ path = ", QuoteToml(p.path),
                          p.labels.empty() ? "" : ", labels = " + QuoteToml(p.labels),
                          weighted ? ", weight = " + (*this)(p.weight) : "", " }");
    });
  }

  template <typename T, typename ToText>
  static std::string List(const std::vector<T>& values, ToText text) {
    const auto append = [&](std::string* out, const T& value) { *out += text(value); };
    return absl::StrCat("[", absl::StrJoin(values, ", ", append), "]");
  }
};

}  // namespace

std::string QuoteToml(const std::string& text) {
  std::string out = "\"";
  for (const char ch : text) {
    const auto byte = static_cast<unsigned char>(ch);
    if (ch == '"' || ch == '\\') {
      out += '\\';
      out += ch;
    } else if (byte < 0x20 || byte == 0x7f) {
      absl::StrAppend(&out, "\\u", absl::Hex(byte, absl::kZeroPad4));
    } else {
      out += ch;
    }
  }
  return out + '"';
}

std::string ToToml(const ConfigValue& value) { return std::visit(TomlText(), value); }

}  // namespace tl
