// SPDX-License-Identifier: Apache-2.0
#include "data/pre_tokenizer.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/status.h"
#include "data/characters.h"

namespace tl::internal {
namespace {

using Behavior = SplitStage::Behavior;

constexpr size_t kUnknown = absl::string_view::npos;

// What ByteLevel splits by where use_regex is on.
constexpr char kGpt2Pattern[] =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

constexpr std::pair<const char*, Behavior> kBehaviors[] = {
    {"Isolated", Behavior::kIsolated},
    {"Removed", Behavior::kRemoved},
    {"MergedWithPrevious", Behavior::kMergedWithPrevious},
    {"MergedWithNext", Behavior::kMergedWithNext},
    {"Contiguous", Behavior::kContiguous},
};

}  // namespace

absl::StatusOr<PreTokenizer> PreTokenizer::Make(const Json& part) {
  PreTokenizer made;
  if (!part.is_null()) TL_RETURN_IF_ERROR(made.Add(part));
  return made;
}

absl::Status PreTokenizer::Add(const Json& part) {
  const std::string type = TypeOf(part);
  if (type == "Sequence" && Get(part, "pretokenizers").is_array()) {
    for (const Json& step : Get(part, "pretokenizers")) TL_RETURN_IF_ERROR(Add(step));
    return absl::OkStatus();
  }
  // Beyond ByteLevel words are made of stand-ins, which other patterns do not mean.
  if (byte_level_) return UnsupportedPart("pre_tokenizer behind ByteLevel", part);
  if (type == "ByteLevel") return AddByteLevel(part);
  if (type == "Metaspace") return AddMetaspace(part);
  if (type == "Split") return AddSplit(part);
  if (type == "Digits") {
    bool individual = false;
    TL_RETURN_IF_ERROR(GetFlag(part, "individual_digits", &individual));
    return AddPattern(individual ? R"(\p{N})" : R"(\p{N}+)", false, Behavior::kIsolated);
  }
  if (type == "WhitespaceSplit") {
    TL_RETURN_IF_ERROR(AddPattern(R"(\s)", false, Behavior::kRemoved));
    stages_.back().at_white_space = true;
    return absl::OkStatus();
  }
  return UnsupportedPart("pre_tokenizer", part);
}

absl::Status PreTokenizer::AddPattern(absl::string_view pattern, bool literal, Behavior behavior,
                                      bool invert) {
  TL_ASSIGN_OR_RETURN(SplitStage stage, SplitStage::Make(pattern, literal, behavior, invert));
  stages_.emplace_back();
  stages_.back().split.push_back(std::move(stage));
  return absl::OkStatus();
}

absl::Status PreTokenizer::AddByteLevel(const Json& part) {
  byte_level_ = true;
  bool prefix = false;
  TL_RETURN_IF_ERROR(GetFlag(part, "add_prefix_space", &prefix));
  if (prefix) {
    stages_.emplace_back();
    stages_.back().kind = Stage::Kind::kPrefixSpace;
  }
  if (!Flag(part, "use_regex", true)) return absl::OkStatus();
  return AddPattern(kGpt2Pattern, false, Behavior::kIsolated);
}

absl::Status PreTokenizer::AddMetaspace(const Json& part) {
  Stage stage;
  stage.kind = Stage::Kind::kMetaspace;
  TL_RETURN_IF_ERROR(GetString(part, "replacement", &stage.replacement));
  if (stage.replacement.empty() || CharSize(stage.replacement[0]) != stage.replacement.size()) {
    return BadPart("Metaspace.replacement", "one character", part);
  }
  stage.splits = Flag(part, "split", true);
  TL_ASSIGN_OR_RETURN(const std::string scheme, PrependScheme(part));
  stage.prepend = scheme == "never"   ? Stage::Prepend::kNever
                  : scheme == "first" ? Stage::Prepend::kFirst
                                      : Stage::Prepend::kAlways;
  stages_.push_back(std::move(stage));
  return absl::OkStatus();
}

absl::Status PreTokenizer::AddSplit(const Json& part) {
  const Json& behavior = Get(part, "behavior");
  const Json& regex = Get(Get(part, "pattern"), "Regex");
  const Json& literal = Get(Get(part, "pattern"), "String");
  const auto known = std::find_if(std::begin(kBehaviors), std::end(kBehaviors),
                                  [&](const auto& b) { return behavior == b.first; });
  if (known == std::end(kBehaviors) || (!regex.is_string() && !literal.is_string()) ||
      literal == "") {
    return UnsupportedPart("pre_tokenizer", part);
  }
  bool invert = false;
  TL_RETURN_IF_ERROR(GetFlag(part, "invert", &invert));
  return AddPattern((regex.is_string() ? regex : literal).get<std::string>(), !regex.is_string(),
                    known->second, invert);
}

bool PreTokenizer::looks_at_start() const {
  return std::any_of(stages_.begin(), stages_.end(), LooksAtStart);
}

bool PreTokenizer::looks_at_start_later() const {
  return !stages_.empty() && std::any_of(stages_.begin() + 1, stages_.end(), LooksAtStart);
}

bool PreTokenizer::LooksAtStart(const Stage& stage) {
  return stage.kind == Stage::Kind::kMetaspace && stage.prepend == Stage::Prepend::kFirst;
}

absl::Status PreTokenizer::Split(absl::string_view text, size_t start, Words* words) const {
  words->words.clear();
  words->made.clear();
  std::vector<Piece> pieces = {{text, 0}}, next;
  for (const Stage& stage : stages_) {
    next.clear();
    for (const Piece& piece : pieces) {
      if (stage.kind == Stage::Kind::kMetaspace) {
        ApplyMetaspace(stage, piece, start, words, &next);
      } else if (stage.kind == Stage::Kind::kPrefixSpace) {
        if (piece.text[0] == ' ') {
          next.push_back(piece);
        } else {
          words->made.push_back(absl::StrCat(" ", piece.text));
          next.push_back({words->made.back(), piece.offset});
        }
      } else {
        words->words.clear();
        TL_RETURN_IF_ERROR(stage.split[0].Split(piece.text, &words->words));
        for (absl::string_view word : words->words) {
          const auto at = static_cast<size_t>(word.data() - piece.text.data());
          next.push_back({word, piece.offset == kUnknown ? kUnknown : piece.offset + at});
        }
      }
    }
    pieces.swap(next);
  }
  words->words.clear();
  for (const Piece& piece : pieces) words->words.push_back(piece.text);
  return absl::OkStatus();
}

void PreTokenizer::ApplyMetaspace(const Stage& stage, const Piece& piece, size_t start,
                                  Words* words, std::vector<Piece>* out) {
  const std::string& sign = stage.replacement;
  words->made.push_back(absl::StrReplaceAll(piece.text, {{" ", sign}}));
  std::string& made = words->made.back();
  const bool wanted = stage.prepend == Stage::Prepend::kAlways ||
                      (stage.prepend == Stage::Prepend::kFirst && piece.offset < start);
  if (wanted && !absl::StartsWith(made, sign)) made.insert(0, sign);
  const absl::string_view text = made;
  size_t begin = 0;
  while (stage.splits) {
    const size_t end = text.find(sign, begin + 1);
    if (end == absl::string_view::npos) break;
    out->push_back({text.substr(begin, end - begin), begin == 0 ? piece.offset : kUnknown});
    begin = end;
  }
  out->push_back({text.substr(begin), begin == 0 ? piece.offset : kUnknown});
}

PreTokenizer::AtSpace PreTokenizer::at_space() const {
  if (stages_.empty()) return AtSpace::kInsideWord;
  const Stage& first = stages_[0];
  // What a later stage puts before the first word it would put before another text's, too.
  if (first.kind == Stage::Kind::kMetaspace)
    return first.splits ? AtSpace::kBoundary : AtSpace::kInsideWord;
  return first.at_white_space ? AtSpace::kBoundary : AtSpace::kAsPatternSays;
}

bool PreTokenizer::BeginsWithSpace(absl::string_view text) const {
  return absl::StartsWith(text, " ") ||
         (!stages_.empty() && stages_[0].kind == Stage::Kind::kMetaspace &&
          absl::StartsWith(text, stages_[0].replacement));
}

int32_t PreTokenizer::SpaceChar() const {
  const bool replaced = !stages_.empty() && stages_[0].kind == Stage::Kind::kMetaspace;
  return replaced ? CharAt(stages_[0].replacement, 0) : ' ';
}

size_t PreTokenizer::LastBoundary(absl::string_view text, size_t limit) const {
  if (stages_.empty() || stages_[0].split.empty() || looks_at_start()) return 0;
  return stages_[0].split[0].LastBoundary(text, limit);
}

}  // namespace tl::internal
