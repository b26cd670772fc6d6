// SPDX-License-Identifier: Apache-2.0
#define PCRE2_CODE_UNIT_WIDTH 8
#include "data/bpe_pattern.h"

#include <pcre2.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace tl::internal {
namespace {

constexpr const char* kCategories[] = {"C",  "Cc", "Cf", "Cn", "Co", "Cs", "L",  "Ll", "Lm", "Lo",
                                       "Lt", "Lu", "M",  "Mc", "Me", "Mn", "N",  "Nd", "Nl", "No",
                                       "P",  "Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps", "S",  "Sc",
                                       "Sk", "Sm", "So", "Z",  "Zl", "Zp", "Zs"};

// Two letters that match one character whose case folding they are.
constexpr const char* kFoldings[] = {"ss", "ff", "fi", "fl", "st"};

bool Compiles(const std::string& pattern) {
  int error = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code* code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                                   PCRE2_UTF | PCRE2_UCP, &error, &offset, nullptr);
  pcre2_code_free(code);
  return code != nullptr;
}

// Reads the pattern from the left, once.
class Translator {
 public:
  explicit Translator(absl::string_view pattern) : pattern_(pattern) {}

  absl::StatusOr<std::string> Translate() {
    while (at_ < pattern_.size()) {
      TL_RETURN_IF_ERROR(CheckFolding());
      if (pattern_[at_] == '\\')
        TL_RETURN_IF_ERROR(Escape());
      else if (in_class_)
        TL_RETURN_IF_ERROR(InClass());
      else
        TL_RETURN_IF_ERROR(Outside());
    }
    return std::move(out_);
  }

 private:
  absl::Status Unsupported(absl::string_view what) const {
    return absl::UnimplementedError(
        absl::StrCat("pattern '", pattern_, "': ", what, " is not supported"));
  }
  absl::string_view Rest() const { return pattern_.substr(at_); }
  absl::Status Copy(size_t n) {
    absl::StrAppend(&out_, pattern_.substr(at_, n));
    at_ += n;
    return absl::OkStatus();
  }

  absl::Status Escape() {
    if (Rest().size() == 1) return Unsupported("a \\ at its end");
    const char e = Rest()[1];
    if (e == 'p' || e == 'P') return Property();
    if (e == 's' || e == 'S' || e == 'd' || e == 'D') {
      absl::StrAppend(
          &out_, absl::ascii_islower(static_cast<unsigned char>(e)) ? "\\p{" : "\\P{",
          absl::ascii_tolower(static_cast<unsigned char>(e)) == 's' ? "White_Space" : "Nd", "}");
      at_ += 2;
      return absl::OkStatus();
    }
    if (e != 'r' && e != 'n' && e != 't' && absl::ascii_isalnum(static_cast<unsigned char>(e)))
      return Unsupported(Rest().substr(0, 2));
    return Copy(2);
  }

  // \p{…}: a general category, or a script, which PCRE2 takes for the script's extensions unless
  // told otherwise.
  absl::Status Property() {
    const size_t end = Rest().find('}');
    if (Rest().substr(2, 1) != "{" || end == absl::string_view::npos)
      return Unsupported(absl::StrCat(Rest().substr(0, 2), " without {}"));
    const absl::string_view whole = Rest().substr(0, end + 1);
    absl::string_view name = whole.substr(3, end - 3);
    const bool inverse = absl::StartsWith(name, "^");
    if (inverse) name.remove_prefix(1);
    std::string known;
    for (const char* category : kCategories) {
      if (absl::EqualsIgnoreCase(name, category)) known = category;
    }
    const bool is_word = std::all_of(name.begin(), name.end(), [](char c) {
      return absl::ascii_isalpha(static_cast<unsigned char>(c)) || c == '_';
    });
    if (known.empty() && is_word && Compiles(absl::StrCat("\\p{sc:", name, "}")))
      known = absl::StrCat("sc:", name);
    if (known.empty()) return Unsupported(whole);
    absl::StrAppend(&out_, whole.substr(0, 3), inverse ? "^" : "", known, "}");
    at_ += whole.size();
    return absl::OkStatus();
  }

  absl::Status InClass() {
    if (Rest()[0] == '[') return Unsupported("a class within a class");
    if (absl::StartsWith(Rest(), "&&")) return Unsupported("&&");
    in_class_ = Rest()[0] != ']';
    return Copy(1);
  }

  absl::Status Outside() {
    switch (Rest()[0]) {
      case '[': {
        in_class_ = true;
        const size_t begin = absl::StartsWith(Rest(), "[^") ? 2 : 1;
        if (Rest().substr(begin, 1) == "]") return Unsupported("a class that begins with ]");
        return Copy(begin);
      }
      case '^':
      case '$':
        return Unsupported(absl::StrCat("an anchor ", Rest().substr(0, 1)));
      case '{':
        return Repeat();
      case '(':
        return Group();
      case ')':
        if (ignores_case_.size() > 1) ignores_case_.pop_back();
        return Copy(1);
      default:
        return Copy(1);
    }
  }

  // {n}, {n,} and {n,m}; else a { that stands for itself.
  absl::Status Repeat() {
    const size_t end = Rest().find_first_not_of("0123456789, ", 1);
    if (end == absl::string_view::npos || Rest()[end] != '}') return Copy(1);
    const absl::string_view counts = Rest().substr(1, end - 1);
    const size_t digits = std::min(counts.find_first_not_of("0123456789"), counts.size());
    if (counts.find_first_of("0123456789") == absl::string_view::npos) {
      if (counts.find(' ') == absl::string_view::npos) return Copy(end + 1);
      return Unsupported("a blank in {}");
    }
    if (digits == 0) return Unsupported("{,n}");
    const absl::string_view more = counts.substr(digits);
    if (!more.empty() &&
        (more[0] != ',' || more.find_first_not_of("0123456789", 1) != absl::string_view::npos))
      return Unsupported(Rest().substr(0, end + 1));
    const absl::string_view next = Rest().substr(end + 1, 1);
    if (next == "+") return Unsupported("a + after {n,m}");
    if (next == "?" && more.empty()) return Unsupported("{n}?");
    return Copy(end + 1);
  }

  absl::Status Group() {
    if (absl::StartsWith(Rest(), "(*")) return Unsupported("(*");
    bool ignores_case = ignores_case_.back();
    size_t size = 1;
    if (absl::StartsWith(Rest(), "(?")) {
      size = 0;
      for (const char* known : {"(?:", "(?=", "(?!", "(?>", "(?<=", "(?<!", "(?i:"}) {
        if (absl::StartsWith(Rest(), known)) size = absl::string_view(known).size();
      }
      if (size == 0) return Unsupported(Rest().substr(0, 4));
      ignores_case = ignores_case || absl::StartsWith(Rest(), "(?i:");
    }
    ignores_case_.push_back(ignores_case);
    return Copy(size);
  }

  // Refuses what Oniguruma takes for several characters' case folding, of which PCRE2 knows
  // nothing: two letters, be they in groups of their own, or any character that may fold to
  // several.
  absl::Status CheckFolding() {
    const char c = Rest()[0];
    const char last = std::exchange(last_letter_, '\0');
    if (!ignores_case_.back()) return absl::OkStatus();
    if (static_cast<unsigned char>(c) >= 0x80)
      return Unsupported("a character beyond ASCII in (?i:");
    if (in_class_) return absl::OkStatus();
    if (c == '(' || c == ')') last_letter_ = last;
    if (!absl::ascii_isalpha(static_cast<unsigned char>(c))) return absl::OkStatus();
    last_letter_ = c;
    const char both[] = {last, c};
    for (const char* folding : kFoldings) {
      if (absl::EqualsIgnoreCase(absl::string_view(both, 2), folding))
        return Unsupported(absl::StrCat(folding, " in (?i:"));
    }
    return absl::OkStatus();
  }

  const absl::string_view pattern_;
  size_t at_ = 0;
  std::string out_;
  bool in_class_ = false;
  char last_letter_ = '\0';                   // right before at_ in (?i:
  std::vector<bool> ignores_case_ = {false};  // by group, the innermost last
};

}  // namespace

absl::StatusOr<std::string> TranslatePattern(absl::string_view pattern) {
  return Translator(pattern).Translate();
}

}  // namespace tl::internal
