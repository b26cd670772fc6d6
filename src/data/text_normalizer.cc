// SPDX-License-Identifier: Apache-2.0
#include "data/text_normalizer.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "data/characters.h"
#include "data/charsmap.h"
#include "data/pattern_replacer.h"

namespace tl::internal {
namespace {

class UnicodeForm : public NormalizerStep {
 public:
  explicit UnicodeForm(int options) : options_(options) {}
  absl::Status Apply(absl::string_view text, std::string* out) const override {
    utf8proc_uint8_t* result = nullptr;
    const utf8proc_ssize_t n = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                            static_cast<utf8proc_ssize_t>(text.size()), &result,
                                            static_cast<utf8proc_option_t>(options_));
    if (n < 0)
      return absl::ResourceExhaustedError(absl::StrCat("normalizer: ", utf8proc_errmsg(n)));
    out->assign(reinterpret_cast<const char*>(result), static_cast<size_t>(n));
    std::free(result);
    return absl::OkStatus();
  }
  bool KeepsAscii() const override { return true; }

 private:
  const int options_;
};

// Each character by itself.
class ByCharacter : public NormalizerStep {
 public:
  using Map = void (*)(int32_t c, std::string* out);
  explicit ByCharacter(Map map) : map_(map) {}
  absl::Status Apply(absl::string_view text, std::string* out) const override {
    for (size_t i = 0; i < text.size(); i += CharSize(text[i])) map_(CharAt(text, i), out);
    return absl::OkStatus();
  }

 private:
  const Map map_;
};

void Lower(int32_t c, std::string* out) {
  constexpr int32_t kDottedI = 0x130, kDotAbove = 0x307;  // the one that becomes two
  if (c == kDottedI) {
    out->push_back('i');
    AppendChar(kDotAbove, out);
  } else {
    AppendChar(utf8proc_tolower(c), out);
  }
}

void WithoutMarks(int32_t c, std::string* out) {
  const utf8proc_category_t category = utf8proc_category(c);
  if (category != UTF8PROC_CATEGORY_MN && category != UTF8PROC_CATEGORY_MC &&
      category != UTF8PROC_CATEGORY_ME)
    AppendChar(c, out);
}

// Leaves out control characters and makes other blanks spaces, as neural machine translation does.
void Nmt(int32_t c, std::string* out) {
  if ((c >= 1 && c <= 8) || c == 0xB || (c >= 0xE && c <= 0x1F) || c == 0x7F || c == 0x8F ||
      c == 0x9F)
    return;
  const bool blank = c == 9 || c == 0xA || c == 0xC || c == 0xD || c == 0x1680 ||
                     (c >= 0x200B && c <= 0x200F) || c == 0x2028 || c == 0x2029 || c == 0x2581 ||
                     c == 0xFEFF || c == 0xFFFD;
  AppendChar(blank ? ' ' : c, out);
}

class Strip : public NormalizerStep {
 public:
  Strip(bool left, bool right) : left_(left), right_(right) {}
  absl::Status Apply(absl::string_view text, std::string* out) const override {
    const size_t begin = Begin(text);
    size_t end = text.size();
    while (right_ && begin < end && IsWhiteSpace(CharAt(text, CharBefore(text, end))))
      end = CharBefore(text, end);
    *out = std::string(text.substr(begin, end - begin));
    return absl::OkStatus();
  }
  absl::StatusOr<size_t> ComeFromFirst(size_t count, absl::string_view text,
                                       absl::string_view made) const override {
    const size_t begin = Begin(text);
    return count > begin ? std::min(count - begin, made.size()) : 0;
  }
  bool CutsAtBlanks() const override { return false; }

 private:
  size_t Begin(absl::string_view text) const {
    size_t begin = 0;
    while (left_ && begin < text.size() && IsWhiteSpace(CharAt(text, begin)))
      begin += CharSize(text[begin]);
    return begin;
  }
  const bool left_, right_;
};

class Prepend : public NormalizerStep {
 public:
  explicit Prepend(std::string prefix) : prefix_(std::move(prefix)) {}
  absl::Status Apply(absl::string_view text, std::string* out) const override {
    if (!text.empty()) *out = absl::StrCat(prefix_, text);
    return absl::OkStatus();
  }
  bool CutsAtBlanks() const override { return false; }

 private:
  const std::string prefix_;
};

class Replace : public NormalizerStep {
 public:
  explicit Replace(PatternReplacer replacer) : replacer_(std::move(replacer)) {}
  absl::Status Apply(absl::string_view text, std::string* out) const override {
    return replacer_.Apply(text, out);
  }
  absl::StatusOr<size_t> ComeFromFirst(size_t count, absl::string_view text,
                                       absl::string_view) const override {
    return replacer_.ComeFromFirst(count, text);
  }
  bool CutsAtBlanks() const override {
    const absl::string_view literal = replacer_.literal();
    return !literal.empty() && literal.find(' ', 1) == absl::string_view::npos &&
           literal.find('\n') == absl::string_view::npos;
  }

 private:
  const PatternReplacer replacer_;
};

class Precompiled : public NormalizerStep {
 public:
  explicit Precompiled(Charsmap map) : map_(std::move(map)) {}
  absl::Status Apply(absl::string_view text, std::string* out) const override {
    map_.Apply(text, out);
    return absl::OkStatus();
  }
  // What is behind a removed character comes from where that was.
  absl::StatusOr<size_t> ComeFromFirst(size_t count, absl::string_view text,
                                       absl::string_view made) const override {
    TL_ASSIGN_OR_RETURN(const size_t come, NormalizerStep::ComeFromFirst(count, text, made));
    return come > 0 || count == 0 || made.empty() ? come : CharSize(made[0]);
  }

 private:
  const Charsmap map_;
};

struct Form {
  const char* type;
  int options;
};
constexpr Form kForms[] = {
    {"NFC", UTF8PROC_STABLE | UTF8PROC_COMPOSE},
    {"NFD", UTF8PROC_STABLE | UTF8PROC_DECOMPOSE},
    {"NFKC", UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT},
    {"NFKD", UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT},
};
struct CharacterMap {
  const char* type;
  ByCharacter::Map map;
};
constexpr CharacterMap kCharacterMaps[] = {
    {"Lowercase", Lower}, {"StripAccents", WithoutMarks}, {"Nmt", Nmt}};

absl::StatusOr<std::unique_ptr<NormalizerStep>> MakeStep(const Json& part) {
  const std::string type = TypeOf(part);
  for (const Form& form : kForms) {
    if (type == form.type) return std::make_unique<UnicodeForm>(form.options);
  }
  for (const CharacterMap& map : kCharacterMaps) {
    if (type == map.type) return std::make_unique<ByCharacter>(map.map);
  }
  if (type == "Strip") {
    bool left = false, right = false;
    TL_RETURN_IF_ERROR(GetFlag(part, "strip_left", &left));
    TL_RETURN_IF_ERROR(GetFlag(part, "strip_right", &right));
    return std::make_unique<Strip>(left, right);
  }
  if (type == "Prepend") {
    std::string prefix;
    TL_RETURN_IF_ERROR(GetString(part, "prepend", &prefix));
    return std::make_unique<Prepend>(std::move(prefix));
  }
  if (type == "Replace") {
    TL_ASSIGN_OR_RETURN(PatternReplacer replacer, PatternReplacer::Make("normalizer", part));
    return std::make_unique<Replace>(std::move(replacer));
  }
  if (type == "Precompiled") {
    std::string base64;
    TL_RETURN_IF_ERROR(GetString(part, "precompiled_charsmap", &base64));
    TL_ASSIGN_OR_RETURN(Charsmap map, Charsmap::Make(base64));
    return std::make_unique<Precompiled>(std::move(map));
  }
  return UnsupportedPart("normalizer", part);
}

}  // namespace

absl::StatusOr<size_t> NormalizerStep::ComeFromFirst(size_t count, absl::string_view text,
                                                     absl::string_view made) const {
  if (count == 0) return 0;
  std::string first;
  TL_RETURN_IF_ERROR(Apply(text.substr(0, count), &first));
  if (first.empty() || made.empty()) return 0;
  // Marks that follow them may stand before their own, or be one character with theirs.
  const auto differs = std::mismatch(first.begin(), first.end(), made.begin(), made.end());
  auto same = static_cast<size_t>(differs.first - first.begin());
  while (same > 0 && same < made.size() && IsContinuation(made[same])) --same;
  return std::max(CharSize(made[0]), same);
}

absl::StatusOr<TextNormalizer> TextNormalizer::Make(const Json& part) {
  TextNormalizer normalizer;
  if (!part.is_null()) TL_RETURN_IF_ERROR(normalizer.Add(part));
  return normalizer;
}

absl::Status TextNormalizer::Add(const Json& part) {
  if (TypeOf(part) == "Sequence" && Get(part, "normalizers").is_array()) {
    for (const Json& step : Get(part, "normalizers")) TL_RETURN_IF_ERROR(Add(step));
    return absl::OkStatus();
  }
  TL_ASSIGN_OR_RETURN(std::unique_ptr<NormalizerStep> step, MakeStep(part));
  keeps_ascii_ = keeps_ascii_ && step->KeepsAscii();
  steps_.push_back(std::move(step));
  return absl::OkStatus();
}

absl::StatusOr<absl::string_view> TextNormalizer::Apply(absl::string_view text,
                                                        std::string* storage, size_t* first) const {
  if (first != nullptr) *first = text.empty() ? 0 : CharSize(text[0]);
  if (steps_.empty() || (keeps_ascii_ && IsAscii(text))) return text;
  std::string made;
  for (const auto& step : steps_) {
    made.clear();
    made.reserve(text.size());
    TL_RETURN_IF_ERROR(step->Apply(text, &made));
    if (first != nullptr) {
      TL_ASSIGN_OR_RETURN(*first, step->ComeFromFirst(*first, text, made));
    }
    storage->swap(made);
    text = *storage;
  }
  return text;
}

bool TextNormalizer::CutsAtBlanks() const {
  return std::all_of(steps_.begin(), steps_.end(),
                     [](const auto& step) { return step->CutsAtBlanks(); });
}

}  // namespace tl::internal
