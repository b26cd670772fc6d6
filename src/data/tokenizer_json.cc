// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/json.h"
#include "base/status.h"
#include "base/utf8.h"
#include "data/added_tokens.h"
#include "data/characters.h"
#include "data/json_parts.h"
#include "data/pre_tokenizer.h"
#include "data/text_normalizer.h"
#include "data/token_decoder.h"
#include "data/token_model.h"
#include "data/tokenizer.h"

namespace tl {
namespace {

using internal::AddedToken;
using internal::AddedTokens;
using internal::BadPart;
using internal::CharAt;
using internal::CharBefore;
using internal::Flag;
using internal::Get;
using internal::Json;
using internal::kSpaceSign;
using internal::PreTokenizer;
using internal::TextNormalizer;
using internal::TokenDecoder;
using internal::TokenModel;

class JsonTokenizer : public Tokenizer {
 public:
  absl::Status Load(std::string definition) {
    definition_ = std::move(definition);
    TL_ASSIGN_OR_RETURN(const Json root, ParseJson(definition_, "not a tokenizer.json"));
    if (!root.is_object()) return BadPart("not a tokenizer.json", "an object", root);
    TL_ASSIGN_OR_RETURN(pre_tokenizer_, PreTokenizer::Make(Get(root, "pre_tokenizer")));
    TL_ASSIGN_OR_RETURN(model_,
                        internal::MakeTokenModel(Get(root, "model"), pre_tokenizer_.byte_level()));
    TL_ASSIGN_OR_RETURN(normalizer_, TextNormalizer::Make(Get(root, "normalizer")));
    TL_ASSIGN_OR_RETURN(decoder_, TokenDecoder::Make(Get(root, "decoder")));
    tokens_ = model_->tokens();
    for (const std::string& token : tokens_)
      present_.push_back(!token.empty() ||
                         model_->Find("") == static_cast<int32_t>(present_.size()));
    TL_RETURN_IF_ERROR(LoadAddedTokens(Get(root, "added_tokens"), VocabularySize(root)));
    pieces_.reserve(tokens_.size());
    for (const std::string& token : tokens_) pieces_.push_back(decoder_.DecodeOne(token));
    return absl::OkStatus();
  }

  TokenizerKind kind() const override { return TokenizerKind::kBpe; }
  int64_t vocab_size() const override { return static_cast<int64_t>(tokens_.size()); }
  int32_t end_id() const override { return end_id_; }
  const std::string& definition() const override { return definition_; }
  std::string note() const override { return model_->note(); }

  absl::Status Encode(absl::string_view text, std::vector<int32_t>* ids) const override {
    if (const size_t n = ValidUtf8Prefix(text); n != text.size()) {
      return absl::InvalidArgumentError(absl::StrCat("not UTF-8 at byte ", n));
    }
    Scratch scratch;
    std::vector<AddedTokens::Segment> raw, normal;
    raw_tokens_.Split(text, &raw);
    for (const AddedTokens::Segment& segment : raw) {
      if (segment.id >= 0) {
        ids->push_back(segment.id);
        continue;
      }
      const bool first = segment.text.data() == text.data() && pre_tokenizer_.looks_at_start();
      size_t start = 0;
      TL_ASSIGN_OR_RETURN(
          const absl::string_view normalized,
          normalizer_.Apply(segment.text, &scratch.normalized, first ? &start : nullptr));
      normal.clear();
      normalized_tokens_.Split(normalized, &normal);
      for (const AddedTokens::Segment& s : normal) {
        if (s.id >= 0) {
          ids->push_back(s.id);
          continue;
        }
        const auto at = static_cast<size_t>(s.text.data() - normalized.data());
        TL_RETURN_IF_ERROR(EncodeText(s.text, start > at ? start - at : 0, &scratch, ids));
      }
    }
    return absl::OkStatus();
  }

  std::string Decode(absl::Span<const int32_t> ids) const override {
    std::vector<std::string> tokens;
    for (int32_t id : ids) {
      if (id >= 0 && id < vocab_size() && present_[static_cast<size_t>(id)])
        tokens.push_back(tokens_[static_cast<size_t>(id)]);
    }
    return decoder_.Decode(std::move(tokens));
  }

  std::string TokenBytes(int32_t id) const override {
    return id >= 0 && id < vocab_size() ? pieces_[static_cast<size_t>(id)] : "";
  }

  size_t CutPoint(absl::string_view text) const override {
    if (raw_tokens_.looks_around() || normalized_tokens_.looks_around()) return 0;
    if (pre_tokenizer_.looks_at_start_later()) return 0;
    text = text.substr(0, ValidUtf8Prefix(text));
    // An added token that begins in the last bytes may not be whole yet.
    const size_t margin = std::max(raw_tokens_.longest(), normalized_tokens_.longest());
    if (text.size() <= margin) return 0;
    std::vector<AddedTokens::Segment> raw;
    raw_tokens_.Split(text, &raw);
    const absl::string_view last = raw.back().id < 0 ? raw.back().text : absl::string_view();
    const size_t begin = text.size() - last.size();
    const size_t cut = normalizer_.empty() ? CutInside(last, margin) : CutNormalized(last, margin);
    if (cut > 0) return begin + cut;
    if (begin + margin > text.size()) return 0;
    // Behind an added token, but before it where the text behind it must not come first.
    const bool before = pre_tokenizer_.looks_at_start() && raw.size() > 1;
    return before ? begin - raw[raw.size() - 2].text.size() : begin;
  }

 private:
  // What encoding a text needs, once: the ids of words met in it lie in `cached`.
  struct Scratch {
    std::string normalized;
    PreTokenizer::Words words;
    absl::flat_hash_map<std::string, std::pair<size_t, size_t>> seen;  // begin and count
    std::vector<int32_t> cached;
  };

  // How many tokens the model's part of the file has, by which tokenizers numbers added ones.
  static int64_t VocabularySize(const Json& root) {
    return static_cast<int64_t>(Get(Get(root, "model"), "vocab").size());
  }

  absl::Status LoadAddedTokens(const Json& list, int64_t next_id) {
    if (list.is_null()) return absl::OkStatus();
    if (!list.is_array()) return BadPart("added_tokens", "an array", list);
    std::vector<AddedToken> raw, normalized;
    absl::flat_hash_map<std::string, int64_t> seen;
    // Names that end a document, the likeliest first.
    const std::vector<std::string> ends = {"<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>"};
    size_t best = ends.size();
    for (const Json& entry : list) {
      const Json& content = Get(entry, "content");
      const Json& id = Get(entry, "id");
      if (!content.is_string() || !internal::IsId(id)) {
        return BadPart("added_tokens", "an object with content and id", entry);
      }
      AddedToken token{.content = content.get<std::string>(),
                       .id = id.get<int32_t>(),
                       .single_word = Flag(entry, "single_word", false),
                       .left_strip = Flag(entry, "lstrip", false),
                       .right_strip = Flag(entry, "rstrip", false)};
      if (token.content.empty()) continue;
      // tokenizers takes no id from here: it has the model's, or the next one that is free.
      int64_t expected = model_->Find(token.content);
      if (const auto [it, is_new] = seen.try_emplace(token.content, expected); !is_new)
        expected = it->second;
      else if (expected < 0)
        expected = it->second = next_id++;
      if (expected != token.id) {
        return BadPart("added_tokens",
                       absl::StrCat("id ", expected, ", which tokenizers gives this token"), entry);
      }
      const size_t end = std::find(ends.begin(), ends.end(), token.content) - ends.begin();
      if (end < best) {
        best = end;
        end_id_ = token.id;
      }
      const bool is_normalized = Flag(entry, "normalized", !Flag(entry, "special", false));
      if (is_normalized) {
        std::string storage;
        TL_ASSIGN_OR_RETURN(const absl::string_view made,
                            normalizer_.Apply(token.content, &storage));
        if (made.empty())
          return BadPart("added_tokens", "a token that the normalizer leaves something of", entry);
        token.content = std::string(made);
      }
      const auto at = static_cast<size_t>(token.id);
      if (at >= tokens_.size()) {
        tokens_.resize(at + 1);
        present_.resize(at + 1);
      }
      present_[at] = true;
      tokens_[at] = token.content;
      (is_normalized ? normalized : raw).push_back(std::move(token));
    }
    raw_tokens_ = AddedTokens(std::move(raw));
    normalized_tokens_ = AddedTokens(std::move(normalized));
    return absl::OkStatus();
  }

  // A text between added tokens. start: as in PreTokenizer::Split.
  absl::Status EncodeText(absl::string_view text, size_t start, Scratch* scratch,
                          std::vector<int32_t>* ids) const {
    TL_RETURN_IF_ERROR(pre_tokenizer_.Split(text, start, &scratch->words));
    const bool apart = model_->WordsApart();
    for (absl::string_view word : scratch->words.words) {
      // Words that no merge joins are encoded, and remembered, by themselves.
      for (size_t at = 0; apart && at < word.size();) {
        const size_t sign = word.find(kSpaceSign, at + 1);
        if (sign == absl::string_view::npos) break;
        const bool runs_on = absl::EndsWith(word.substr(0, sign), kSpaceSign);
        at = sign;
        if (runs_on) continue;
        TL_RETURN_IF_ERROR(EncodeWord(word.substr(0, sign), scratch, ids));
        word.remove_prefix(sign);
        at = 0;
      }
      TL_RETURN_IF_ERROR(EncodeWord(word, scratch, ids));
    }
    return absl::OkStatus();
  }

  absl::Status EncodeWord(absl::string_view word, Scratch* scratch,
                          std::vector<int32_t>* ids) const {
    constexpr size_t kMostCached = 1 << 18, kLongestCached = 64;
    if (word.size() > kLongestCached) return model_->Encode(word, ids);
    if (const auto it = scratch->seen.find(word); it != scratch->seen.end()) {
      const auto begin = scratch->cached.begin() + static_cast<int64_t>(it->second.first);
      ids->insert(ids->end(), begin, begin + static_cast<int64_t>(it->second.second));
      return absl::OkStatus();
    }
    const size_t before = ids->size();
    TL_RETURN_IF_ERROR(model_->Encode(word, ids));
    if (scratch->seen.size() >= kMostCached) return absl::OkStatus();
    scratch->seen[std::string(word)] = {scratch->cached.size(), ids->size() - before};
    scratch->cached.insert(scratch->cached.end(), ids->begin() + static_cast<int64_t>(before),
                           ids->end());
    return absl::OkStatus();
  }

  // CutPoint in a text between added tokens that stays as it is, up to margin before its end; 0
  // where there is none.
  size_t CutInside(absl::string_view text, size_t margin) const {
    std::vector<AddedTokens::Segment> segments;
    normalized_tokens_.Split(text, &segments);
    if (segments.empty() || segments.back().id >= 0) return 0;
    const absl::string_view tail = segments.back().text;
    const size_t begin = text.size() - tail.size();
    size_t limit = text.size() > margin ? text.size() - margin : 0;
    if (limit <= begin) return 0;
    limit -= begin;
    if (pre_tokenizer_.at_space() == PreTokenizer::AtSpace::kAsPatternSays) {
      const size_t cut = pre_tokenizer_.LastBoundary(tail, limit);
      return cut == 0 ? 0 : begin + cut;
    }
    size_t cut = limit + 1;
    for (int tries = 0; tries < kMostTries && LastBlank(tail, &cut); ++tries) {
      if (cut < tail.size() && MayCut(tail, cut)) return begin + cut;
    }
    return 0;
  }

  // The same where the text is normalized: only beside blanks.
  size_t CutNormalized(absl::string_view text, size_t margin) const {
    size_t stable = text.size();
    if (!normalizer_.CutsAtBlanks() || !LastBlank(text, &stable)) return 0;
    std::string storage, head_storage, rest_storage;
    const auto seen = normalizer_.Apply(text.substr(0, stable), &storage);
    if (!seen.ok()) return 0;
    std::vector<AddedTokens::Segment> segments;
    normalized_tokens_.Split(*seen, &segments);
    if (segments.empty() || segments.back().id >= 0) return 0;
    const absl::string_view tail = segments.back().text;
    const size_t begin = seen->size() - tail.size();
    size_t cut = stable;
    for (int tries = 0; tries < kMostTries && LastBlank(text, &cut); ++tries) {
      if (cut + margin > text.size()) continue;
      // Of other characters a part may look like a first word.
      if (pre_tokenizer_.looks_at_start() && text[cut] != ' ') continue;
      const auto head = normalizer_.Apply(text.substr(0, cut), &head_storage);
      const auto rest = normalizer_.Apply(text.substr(cut, stable - cut), &rest_storage);
      if (!head.ok() || !rest.ok() || absl::StrCat(*head, *rest) != *seen) continue;
      if (head->size() <= begin || head->size() == seen->size() ||
          head->size() + margin > seen->size())
        continue;
      if (MayCut(tail, head->size() - begin)) return cut;
    }
    return 0;
  }

  // Moves `at` to the last place before it, but not the first of text, that has a space behind it
  // or a line end before it; false where there is none.
  static bool LastBlank(absl::string_view text, size_t* at) {
    for (size_t i = std::min(*at, text.size()); i-- > 1;) {
      if (text[i] != ' ' && text[i - 1] != '\n') continue;
      *at = i;
      return true;
    }
    return false;
  }

  // Tells whether a text between added tokens, normalized, may be cut here, behind its first byte
  // and before its last, whatever comes after it.
  bool MayCut(absl::string_view text, size_t at) const {
    switch (pre_tokenizer_.at_space()) {
      case PreTokenizer::AtSpace::kBoundary:
        return pre_tokenizer_.BeginsWithSpace(text.substr(at));
      case PreTokenizer::AtSpace::kAsPatternSays:
        return pre_tokenizer_.LastBoundary(text, at) == at;
      case PreTokenizer::AtSpace::kInsideWord:
        break;
    }
    // Metaspace puts its sign before a text that begins with another character.
    if (!pre_tokenizer_.empty() && !pre_tokenizer_.BeginsWithSpace(text.substr(at))) return false;
    const auto seen = [&](size_t begin) {
      const int32_t c = CharAt(text, begin);
      return c == ' ' ? pre_tokenizer_.SpaceChar() : c;
    };
    return model_->Apart(seen(CharBefore(text, at)), seen(at));
  }

  static constexpr int kMostTries = 16;

  std::string definition_;
  std::vector<std::string> tokens_;  // by id, as decoders see them
  std::vector<bool> present_;        // by id: whether there is such a token
  std::vector<std::string> pieces_;  // by id: what they stand for
  std::unique_ptr<TokenModel> model_;
  TextNormalizer normalizer_;
  PreTokenizer pre_tokenizer_;
  TokenDecoder decoder_;
  AddedTokens raw_tokens_, normalized_tokens_;  // looked for before and after normalising
  int32_t end_id_ = -1;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Tokenizer>> MakeJsonTokenizer(std::string json) {
  auto tokenizer = std::make_unique<JsonTokenizer>();
  try {
    TL_RETURN_IF_ERROR(tokenizer->Load(std::move(json)));
  } catch (const Json::exception& e) {
    return absl::InvalidArgumentError(absl::StrCat("not a tokenizer.json: ", e.what()));
  }
  return tokenizer;
}

}  // namespace tl
