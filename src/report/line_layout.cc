// SPDX-License-Identifier: Apache-2.0
#include "report/line_layout.h"

#include <cstring>
#include <limits>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "report/number.h"

namespace tl {
namespace {

constexpr int kDeepest = 4;  // this program writes 3
constexpr double kNone = std::numeric_limits<double>::infinity();

// A value that is a number or null, at the end of what is to be compared before it.
struct Found {
  std::string key;
  size_t begin, end;  // within the line
  double value;
};

// Walks a line. The text ends with a byte that no token is made of.
class Walker {
 public:
  explicit Walker(const std::string& text) : at_(text.c_str()), start_(at_) {}

  bool Walk() {
    Skip();
    if (!Object("", 1)) return false;
    Skip();
    return *at_ == '\0';
  }
  std::vector<Found> found;
  bool other = false;  // a value is neither number nor null

 private:
  void Skip() {
    while (*at_ == ' ' || *at_ == '\t' || *at_ == '\r') ++at_;
  }
  bool Take(char c) {
    Skip();
    if (*at_ != c) return false;
    ++at_;
    return true;
  }
  bool Word(const char* word) {
    if (std::strncmp(at_, word, std::strlen(word)) != 0) return false;
    at_ += std::strlen(word);
    return true;
  }
  // The four hexadecimal digits of \u: below 128 as a character, others as '?', for names of heads
  // are ours.
  bool Escape(std::string* out) {
    int code = 0;
    for (int i = 0; i < 4; ++i, ++at_) {
      const char c = *at_;
      const int digit = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
      if (digit < 0) return false;
      code = code * 16 + digit;
    }
    *out += code < 128 ? static_cast<char>(code) : '?';
    return true;
  }
  bool Text(std::string* out) {
    if (!Take('"')) return false;
    for (;; ++at_) {
      if (*at_ == '\0') return false;
      if (*at_ == '"') return ++at_, true;
      if (*at_ != '\\') {
        *out += *at_;
        continue;
      }
      ++at_;
      if (*at_ == 'u') {
        ++at_;
        if (!Escape(out)) return false;
        --at_;
      } else if (*at_ == '\0') {
        return false;
      } else {
        const char* const from = "nrtbf";
        const char* const to = "\n\r\t\b\f";
        const char* const which = std::strchr(from, *at_);
        *out += which == nullptr ? *at_ : to[which - from];
      }
    }
  }
  bool List(const std::string& key, int depth) {
    other = true;
    ++at_;
    if (Take(']')) return true;
    do {
      const size_t before = found.size();
      if (!Value(key, depth)) return false;
      found.resize(before);
    } while (Take(','));
    return Take(']');
  }
  bool Value(const std::string& key, int depth) {
    Skip();
    if (depth > kDeepest) return false;
    if (*at_ == '{') return Object(key, depth + 1);
    if (*at_ == '[') return List(key, depth + 1);
    if (*at_ == '"') {
      std::string text;
      other = true;
      return Text(&text);
    }
    if (Word("true") || Word("false")) return other = true;
    const char* const begin = at_;
    double value = kNone;
    if (!Word("null")) {
      const char* const end = ReadNumber(at_, &value);
      if (end == nullptr) return false;
      at_ = end;
    }
    found.push_back(
        {key, static_cast<size_t>(begin - start_), static_cast<size_t>(at_ - start_), value});
    return true;
  }
  bool Object(const std::string& key, int depth) {
    if (!Take('{')) return false;
    if (Take('}')) return true;
    do {
      std::string name;
      if (!Text(&name) || !Take(':')) return false;
      if (!Value(key.empty() ? name : absl::StrCat(key, "/", name), depth)) return false;
    } while (Take(','));
    return Take('}');
  }

  const char* at_;
  const char* start_;
};

}  // namespace

std::optional<std::vector<NumberAt>> ReadLine(absl::string_view line) {
  if (absl::StrContains(line, '\0')) return std::nullopt;
  const std::string text(line);
  Walker walker(text);
  if (!walker.Walk()) return std::nullopt;
  std::vector<NumberAt> numbers;
  for (Found& found : walker.found) numbers.push_back({std::move(found.key), found.value});
  return numbers;
}

std::optional<LineLayout> LineLayout::Of(absl::string_view line) {
  if (absl::StrContains(line, '\0')) return std::nullopt;
  const std::string text(line);
  Walker walker(text);
  if (!walker.Walk() || walker.other) return std::nullopt;
  LineLayout layout;
  size_t at = 0;
  for (const Found& found : walker.found) {
    layout.before_.push_back(text.substr(at, found.begin - at));
    at = found.end;
  }
  layout.end_ = text.substr(at);
  return layout;
}

bool LineLayout::Read(absl::string_view line, std::vector<double>* values) const {
  values->resize(before_.size());
  const char* at = line.data();
  const char* const end = at + line.size();
  for (size_t i = 0; i < before_.size(); ++i) {
    const std::string& text = before_[i];
    if (static_cast<size_t>(end - at) < text.size() ||
        std::memcmp(at, text.data(), text.size()) != 0)
      return false;
    at += text.size();
    if (end - at >= 4 && std::memcmp(at, "null", 4) == 0) {
      (*values)[i] = kNone;
      at += 4;
    } else {
      at = ReadNumber(at, &(*values)[i]);
      if (at == nullptr || at > end) return false;
    }
  }
  return absl::string_view(at, static_cast<size_t>(end - at)) == end_;
}

}  // namespace tl
