// SPDX-License-Identifier: Apache-2.0
// The pre_tokenizer of a tokenizer.json: text to words, each of which the model encodes by itself.
#pragma once

#include <cstddef>
#include <deque>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "data/bpe_split.h"
#include "data/json_parts.h"

namespace tl::internal {

class PreTokenizer {
 public:
  // part: null, or an object with a type. Types: Sequence, ByteLevel, Metaspace, Split, Digits and
  // WhitespaceSplit; others are refused by name.
  static absl::StatusOr<PreTokenizer> Make(const Json& part);

  // The words of a text; some are new strings, kept here. To be used for one text at a time.
  struct Words {
    std::vector<absl::string_view> words;
    std::deque<std::string> made;
  };
  // start: how many of the text's first bytes come from the first character of all that is
  // encoded; 0 where the text lies behind it.
  absl::Status Split(absl::string_view text, size_t start, Words* words) const;

  // Whether words are made of stand-ins for bytes.
  bool byte_level() const { return byte_level_; }
  // Tells whether Split looks at its start.
  bool looks_at_start() const;
  // Tells whether a stage behind the first, which sees spaces no more, looks at it.
  bool looks_at_start_later() const;
  bool empty() const { return stages_.empty(); }

  // Finds the last place up to limit where a word ends or begins whatever comes after text, so
  // that before and after it Split finds the same words by itself; 0 where none is known.
  size_t LastBoundary(absl::string_view text, size_t limit) const;
  enum class AtSpace { kBoundary, kInsideWord, kAsPatternSays };
  // What a space in a text is, or what was made of it: a boundary, a part of a word which the
  // model must not merge, or what LastBoundary finds.
  AtSpace at_space() const;
  // Tells whether text begins with a space as at_space() means it.
  bool BeginsWithSpace(absl::string_view text) const;
  // Returns what a space becomes where it is inside a word.
  int32_t SpaceChar() const;

 private:
  struct Piece {
    absl::string_view text;
    size_t offset;  // in the text that was given; npos where that is not known, but is not 0
  };
  struct Stage {
    enum class Kind { kSplit, kMetaspace, kPrefixSpace } kind = Kind::kSplit;
    std::vector<SplitStage> split;  // one, for kSplit
    bool at_white_space = false;    // splits at every white space
    std::string replacement;        // of spaces
    enum class Prepend { kFirst, kNever, kAlways } prepend = Prepend::kAlways;
    bool splits = true;  // before each replacement
  };

  absl::Status Add(const Json& part);
  absl::Status AddByteLevel(const Json& part);
  absl::Status AddMetaspace(const Json& part);
  absl::Status AddSplit(const Json& part);
  absl::Status AddPattern(absl::string_view pattern, bool literal, SplitStage::Behavior behavior,
                          bool invert = false);
  static bool LooksAtStart(const Stage& stage);
  static void ApplyMetaspace(const Stage& stage, const Piece& piece, size_t start, Words* words,
                             std::vector<Piece>* out);

  std::vector<Stage> stages_;
  bool byte_level_ = false;
};

}  // namespace tl::internal
