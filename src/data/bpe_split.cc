// SPDX-License-Identifier: Apache-2.0
#define PCRE2_CODE_UNIT_WIDTH 8
#include "data/bpe_split.h"

#include <pcre2.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status.h"
#include "data/bpe_pattern.h"
#include "data/characters.h"

namespace tl::internal {
namespace {

struct MatchDataDeleter {
  void operator()(pcre2_match_data* p) const { pcre2_match_data_free(p); }
};
using MatchData = std::unique_ptr<pcre2_match_data, MatchDataDeleter>;

}  // namespace

struct SplitStage::Code {
  pcre2_code* code = nullptr;
  bool looks_behind = false;
  bool may_match_nothing = false;
  ~Code() { pcre2_code_free(code); }

  MatchData NewMatchData() const {
    MatchData data(pcre2_match_data_create_from_pattern(code, nullptr));
    TL_CHECK(data != nullptr) << "out of memory";
    return data;
  }

  // pcre2_match. Where the JIT's stack of 32 KiB does not do, the interpreter, which has a heap,
  // finds the same.
  int Match(absl::string_view text, size_t from, uint32_t options, pcre2_match_data* data) const {
    const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
    options |= PCRE2_NO_UTF_CHECK;
    const int rc = pcre2_match(code, subject, text.size(), from, options, data, nullptr);
    if (rc != PCRE2_ERROR_JIT_STACKLIMIT) return rc;
    return pcre2_match(code, subject, text.size(), from, options | PCRE2_NO_JIT, data, nullptr);
  }
};

SplitStage::SplitStage() : code_(std::make_unique<Code>()) {}
SplitStage::SplitStage(SplitStage&&) noexcept = default;
SplitStage& SplitStage::operator=(SplitStage&&) noexcept = default;
SplitStage::~SplitStage() = default;

absl::StatusOr<SplitStage> SplitStage::Make(absl::string_view pattern, bool literal,
                                            Behavior behavior, bool invert) {
  std::string translated(pattern);
  if (!literal) {
    TL_ASSIGN_OR_RETURN(translated, TranslatePattern(pattern));
  }
  SplitStage stage;
  stage.behavior_ = behavior;
  stage.invert_ = invert;
  int error = 0;
  PCRE2_SIZE offset = 0;
  stage.code_->code =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                    PCRE2_UTF | (literal ? PCRE2_LITERAL : PCRE2_UCP), &error, &offset, nullptr);
  if (stage.code_->code == nullptr) {
    PCRE2_UCHAR message[256] = {};
    pcre2_get_error_message(error, message, sizeof(message));
    return absl::InvalidArgumentError(absl::StrCat(
        "pattern '", pattern, "': ", reinterpret_cast<const char*>(message), " near '",
        absl::string_view(translated).substr(std::min(offset, translated.size())), "'"));
  }
  uint32_t look_behind = 0;
  pcre2_pattern_info(stage.code_->code, PCRE2_INFO_MAXLOOKBEHIND, &look_behind);
  stage.code_->looks_behind = look_behind > 0;
  uint32_t match_empty = 0;
  pcre2_pattern_info(stage.code_->code, PCRE2_INFO_MATCHEMPTY, &match_empty);
  stage.code_->may_match_nothing = match_empty != 0;
  // Where the machine has no JIT the interpreter gives the same matches.
  pcre2_jit_compile(stage.code_->code, PCRE2_JIT_COMPLETE | PCRE2_JIT_PARTIAL_HARD);
  return stage;
}

absl::Status SplitStage::ForEachMatch(absl::string_view text,
                                      absl::FunctionRef<void(size_t, size_t)> match) const {
  const MatchData data = code_->NewMatchData();
  const PCRE2_SIZE* span = pcre2_get_ovector_pointer(data.get());
  constexpr size_t kNone = absl::string_view::npos;
  size_t from = 0, last_end = kNone;
  while (from < text.size() || (from == text.size() && code_->may_match_nothing)) {
    const int rc = code_->Match(text, from, 0, data.get());
    if (rc == PCRE2_ERROR_NOMATCH) break;
    if (rc < 0) {
      PCRE2_UCHAR message[256] = {};
      pcre2_get_error_message(rc, message, sizeof(message));
      return absl::ResourceExhaustedError(
          absl::StrCat("pattern at byte ", from, ": ", reinterpret_cast<const char*>(message)));
    }
    if (span[1] == span[0] && span[1] == last_end) {  // go on one character further
      from = last_end + (last_end < text.size() ? CharSize(text[last_end]) : 1);
      continue;
    }
    match(span[0], span[1]);
    from = last_end = span[1];
  }
  return absl::OkStatus();
}

absl::Status SplitStage::Split(absl::string_view text,
                               std::vector<absl::string_view>* words) const {
  const auto add = [&](size_t begin, size_t end) {
    if (end > begin) words->push_back(text.substr(begin, end - begin));
  };
  size_t begin = 0;  // of the word that is not yet whole
  size_t done = 0;   // the end of the last part, match or not
  bool last = false;
  // The parts come from the left, each a match (or, inverted, what lies between) or not.
  const auto part = [&](size_t end, bool is_match) {
    switch (behavior_) {
      case Behavior::kIsolated:
        add(done, end);
        begin = end;
        break;
      case Behavior::kRemoved:
        if (!is_match) add(done, end);
        begin = end;
        break;
      case Behavior::kMergedWithPrevious:
        if (!is_match || last) {
          add(begin, done);
          begin = done;
        }
        break;
      case Behavior::kMergedWithNext:
        if (is_match || !last) {
          add(begin, done);
          begin = done;
        }
        break;
      case Behavior::kContiguous:
        if (is_match != last) {
          add(begin, done);
          begin = done;
        }
        break;
    }
    done = end;
    last = is_match;
  };
  TL_RETURN_IF_ERROR(ForEachMatch(text, [&](size_t from, size_t end) {
    if (from > done) part(from, invert_);
    part(end, !invert_);
  }));
  if (text.size() > done) part(text.size(), invert_);
  add(begin, done);
  return absl::OkStatus();
}

size_t SplitStage::LastBoundary(absl::string_view text, size_t limit) const {
  // A match's end is a word's end, but where matches go with what follows.
  const bool ends_words = behavior_ == Behavior::kIsolated || behavior_ == Behavior::kRemoved ||
                          (behavior_ == Behavior::kMergedWithPrevious && !invert_);
  if (code_->looks_behind || code_->may_match_nothing || !ends_words) return 0;
  // The matches, as long as none looks at the end of text, which PCRE2 calls partial: what
  // comes after text cannot change these.
  std::vector<std::pair<size_t, size_t>> matches;
  const auto find_matches = [this](absl::string_view subject, uint32_t options, auto&& add) {
    const MatchData data = code_->NewMatchData();
    const PCRE2_SIZE* span = pcre2_get_ovector_pointer(data.get());
    size_t from = 0;
    while (from < subject.size()) {
      const int rc = code_->Match(subject, from, options, data.get());
      if (rc < 0 || span[1] == span[0] || !add(span[0], span[1])) return;
      from = span[1];
    }
  };
  find_matches(text, PCRE2_PARTIAL_HARD, [&](size_t begin, size_t end) {
    if (end <= limit) matches.push_back({begin, end});
    return end <= limit;
  });
  // And text cut off at the place must give the same: after two blanks before a digit, GPT-2's
  // pattern finds one word and another, but one of both where the text ends there.
  for (int tries = 0; tries < 16 && !matches.empty(); ++tries, matches.pop_back()) {
    size_t same = 0;
    find_matches(text.substr(0, matches.back().second), 0, [&](size_t begin, size_t end) {
      if (matches[same] != std::pair(begin, end)) return false;
      return ++same < matches.size();
    });
    if (same == matches.size()) return matches.back().second;
  }
  return 0;
}

}  // namespace tl::internal
