// SPDX-License-Identifier: Apache-2.0
// The pre-tokenizers of a tokenizer.json: text to words, each of which is then merged by itself.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace tl::internal {

// One splitting stage. Immutable; usable from several threads at once.
class SplitStage {
 public:
  // What becomes of matches and of what lies between them.
  enum class Behavior {
    kIsolated,            // both are words
    kRemoved,             // only what lies between is
    kMergedWithPrevious,  // a match ends the word before it
    kMergedWithNext,      // a match begins the word behind it
    kContiguous           // matches side by side are one word
  };

  // pattern: in Oniguruma's syntax; literal: a plain string instead. invert: takes matches for what
  // lies between, and the other way round.
  static absl::StatusOr<SplitStage> Make(absl::string_view pattern, bool literal, Behavior behavior,
                                         bool invert = false);
  SplitStage(SplitStage&&) noexcept;
  SplitStage& operator=(SplitStage&&) noexcept;
  ~SplitStage();

  // Appends the words of text, which must be UTF-8; none is empty.
  absl::Status Split(absl::string_view text, std::vector<absl::string_view>* words) const;

  // Calls match(begin, end) for each match, from the left. A match of nothing counts, but for one
  // that follows right behind another.
  absl::Status ForEachMatch(absl::string_view text,
                            absl::FunctionRef<void(size_t, size_t)> match) const;

  // Finds the last place up to limit where a word begins or ends whatever comes after text; 0: none
  // is there. Before and after it Split finds the same words by itself.
  size_t LastBoundary(absl::string_view text, size_t limit) const;

 private:
  struct Code;
  SplitStage();
  std::unique_ptr<Code> code_;
  Behavior behavior_ = Behavior::kIsolated;
  bool invert_ = false;
};

}  // namespace tl::internal
