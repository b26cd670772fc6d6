// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <limits>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/container/inlined_vector.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "data/bpe_merge.h"
#include "data/byte_level.h"
#include "data/characters.h"
#include "data/token_model.h"

namespace tl::internal {
namespace {

constexpr int32_t kSpaceChar = 0x2581;

class BpeModel : public TokenModel {
 public:
  explicit BpeModel(bool bytes) : bytes_(bytes) {}

  absl::Status Load(const Json& model) {
    for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
      const Json& value = Get(model, key);
      if (!value.is_null() && value != "")
        return UnsupportedPart(absl::StrCat("model.", key), value);
    }
    if (const Json& dropout = Get(model, "dropout"); !dropout.is_null() && dropout != 0.0)
      return UnsupportedPart("model.dropout", dropout);
    ignore_merges_ = Flag(model, "ignore_merges", false);
    fuse_unknown_ = Flag(model, "fuse_unk", false);
    byte_fallback_ = Flag(model, "byte_fallback", false);
    TL_RETURN_IF_ERROR(LoadVocabulary(Get(model, "vocab")));
    if (const Json& unknown = Get(model, "unk_token"); unknown.is_string()) {
      unknown_token_ = unknown.get<std::string>();
      unknown_ = Find(unknown_token_);
      has_unknown_ = true;
    }
    if (bytes_) LoadBytes();
    TL_RETURN_IF_ERROR(LoadMerges(Get(model, "merges")));
    // Where a character without a token is dropped, its neighbours become neighbours.
    const bool drops = !has_unknown_ && !(byte_fallback_ && all_byte_tokens_);
    words_apart_ = words_apart_ && !bytes_ && !drops && !ignore_merges_ &&
                   !absl::EndsWith(unknown_token_, kSpaceSign) && TokenOfChar(kSpaceChar) >= 0;
    return absl::OkStatus();
  }

  int32_t Find(absl::string_view token) const override {
    const auto it = ids_.find(token);
    return it == ids_.end() ? -1 : it->second;
  }

  absl::Status Encode(absl::string_view word, std::vector<int32_t>* ids) const override {
    if (ignore_merges_) {
      const auto& wholes = bytes_ ? byte_words_ : ids_;
      if (const auto it = wholes.find(word); it != wholes.end()) {
        ids->push_back(it->second);
        return absl::OkStatus();
      }
    }
    if (word.size() > static_cast<size_t>(std::numeric_limits<int32_t>::max()))
      return absl::ResourceExhaustedError("a text of more than 2 GiB without a place to cut it");
    Symbols symbols;
    symbols.reserve(word.size());
    TL_RETURN_IF_ERROR(bytes_ ? AddBytes(word, &symbols) : AddChars(word, &symbols));
    if (!symbols.empty()) merger_.Merge(absl::MakeSpan(symbols), ids);
    return absl::OkStatus();
  }

  bool Apart(int32_t left, int32_t right) const override {
    const int32_t before = Edge(left, '>'), after = Edge(right, '<');
    return !bytes_ && !ignore_merges_ && before >= 0 && after >= 0 &&
           !joined_.contains(PairOf(before, after));
  }
  bool WordsApart() const override { return words_apart_; }

 private:
  using Symbols = absl::InlinedVector<int32_t, 64>;
  // Tokens of a character's bytes.
  struct Fallback {
    std::array<int32_t, 4> ids = {};
    int size = 0;
  };

  static uint64_t PairOf(int32_t left, int32_t right) {
    return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
  }

  absl::Status LoadVocabulary(const Json& vocab) {
    if (!vocab.is_object() || vocab.empty()) return BadPart("model.vocab", "an object", vocab);
    ids_.reserve(vocab.size());
    chars_.fill(-1);
    for (const auto& [token, id] : vocab.items()) {
      if (!IsId(id)) return BadPart(absl::StrCat("model.vocab['", token, "']"), "an id", id);
      const auto i = id.get<int32_t>();
      ids_[token] = i;
      if (static_cast<size_t>(i) >= tokens_.size()) tokens_.resize(static_cast<size_t>(i) + 1);
      tokens_[static_cast<size_t>(i)] = token;
      if (token.empty() || CharSize(token[0]) != token.size()) continue;
      const int32_t c = CharAt(token, 0);
      if (static_cast<size_t>(c) < chars_.size())
        chars_[static_cast<size_t>(c)] = i;
      else
        more_chars_[c] = i;
    }
    for (int b = 0; b < 256; ++b) {
      byte_tokens_[b] = Find(ByteTokenName(b));
      all_byte_tokens_ = all_byte_tokens_ && byte_tokens_[b] >= 0;
    }
    return absl::OkStatus();
  }

  void LoadBytes() {
    std::string missing, bytes;
    int count = 0;
    for (int b = 0; b < 256; ++b) {
      const int32_t stand_in = StandIns()[b];
      byte_ids_[b] = TokenOfChar(stand_in);
      if (byte_ids_[b] >= 0) continue;
      AppendChar(stand_in, &bytes);
      byte_fallbacks_[b] = FallbackOf(bytes);
      bytes.clear();
      if (++count <= 4) absl::StrAppend(&missing, count > 1 ? ", " : "", b);
    }
    if (ignore_merges_) {
      for (const auto& [token, id] : ids_) {
        if (FromStandIns(token, &bytes)) byte_words_[bytes] = id;
      }
    }
    if (count == 0) return;
    note_ = absl::StrCat("the vocabulary lacks ", count, " of the 256 bytes (", missing,
                         count > 4 ? ", …" : "", "): in text they become ",
                         has_unknown_ ? absl::StrCat("'", unknown_token_, "'")
                                      : std::string("nothing, and what is beside them may merge"),
                         ", as in tokenizers");
  }

  absl::Status LoadMerges(const Json& merges) {
    if (!merges.is_array()) return BadPart("model.merges", "an array", merges);
    for (const Json& merge : merges) {
      if (IsMergesVersion(merge)) continue;
      absl::string_view left, right;
      if (merge.is_string()) {
        const absl::string_view text = merge.get_ref<const std::string&>();
        const size_t space = text.find(' ');
        if (space == absl::string_view::npos ||
            text.find(' ', space + 1) != absl::string_view::npos)
          return BadPart("model.merges", "two tokens", merge);
        left = text.substr(0, space);
        right = text.substr(space + 1);
      } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() &&
                 merge[1].is_string()) {
        left = merge[0].get_ref<const std::string&>();
        right = merge[1].get_ref<const std::string&>();
      } else {
        return BadPart("model.merges", "\"a b\" or [\"a\", \"b\"]", merge);
      }
      const int32_t a = Find(left), b = Find(right), both = Find(absl::StrCat(left, right));
      if (a < 0 || b < 0 || both < 0) {
        return BadPart("model.merges", "tokens of model.vocab, and their concatenation in it",
                       merge);
      }
      merger_.AddMerge(a, b, both);
      if (left.empty() || right.empty()) return BadPart("model.merges", "two tokens", merge);
      joined_.insert(PairOf(CharAt(left, CharBefore(left, left.size())), CharAt(right, 0)));
      if (absl::StartsWith(right, kSpaceSign) && !absl::EndsWith(left, kSpaceSign))
        words_apart_ = false;
    }
    return absl::OkStatus();
  }

  int32_t TokenOfChar(int32_t c) const {
    if (c >= 0 && static_cast<size_t>(c) < chars_.size()) return chars_[static_cast<size_t>(c)];
    const auto it = more_chars_.find(c);
    return it == more_chars_.end() ? -1 : it->second;
  }

  // The character at the edge of a character's symbols; -1 where it may have none.
  int32_t Edge(int32_t c, char of_bytes) const {
    if (TokenOfChar(c) >= 0) return c;
    return byte_fallback_ && all_byte_tokens_ ? of_bytes : -1;
  }

  // The tokens of a character's bytes; empty where one has none, or bytes are not fallen back to.
  Fallback FallbackOf(absl::string_view character) const {
    Fallback ids;
    if (!byte_fallback_) return ids;
    for (char c : character) {
      const int32_t id = byte_tokens_[static_cast<unsigned char>(c)];
      if (id < 0) return {};
      ids.ids[static_cast<size_t>(ids.size++)] = id;
    }
    return ids;
  }

  // What tokenizers makes of characters that have no token: tokens of their bytes, else one unknown
  // each or, fused, one for several. One that is held back comes behind the bytes that follow it.
  struct Unknown {
    int count = 0;  // held back: 0 or 1
  };
  absl::Status AddUnknown(const Fallback& fallback, Unknown* unknown, Symbols* symbols) const {
    if (fallback.size > 0) {
      symbols->insert(symbols->end(), fallback.ids.begin(), fallback.ids.begin() + fallback.size);
      return absl::OkStatus();
    }
    if (!has_unknown_) return absl::OkStatus();
    if (unknown_ < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("model.unk_token: expected a token of model.vocab for a character that has "
                       "none, found '",
                       unknown_token_, "'"));
    }
    if (unknown->count > 0 && !fuse_unknown_) symbols->push_back(unknown_);
    unknown->count = 1;
    return absl::OkStatus();
  }
  void AddKnown(int32_t id, Unknown* unknown, Symbols* symbols) const {
    Flush(unknown, symbols);
    symbols->push_back(id);
  }
  void Flush(Unknown* unknown, Symbols* symbols) const {
    if (std::exchange(unknown->count, 0) > 0) symbols->push_back(unknown_);
  }

  absl::Status AddBytes(absl::string_view word, Symbols* symbols) const {
    Unknown unknown;
    for (char c : word) {
      const auto byte = static_cast<unsigned char>(c);
      if (byte_ids_[byte] >= 0)
        AddKnown(byte_ids_[byte], &unknown, symbols);
      else
        TL_RETURN_IF_ERROR(AddUnknown(byte_fallbacks_[byte], &unknown, symbols));
    }
    Flush(&unknown, symbols);
    return absl::OkStatus();
  }

  absl::Status AddChars(absl::string_view word, Symbols* symbols) const {
    Unknown unknown;
    for (size_t i = 0, size; i < word.size(); i += size) {
      size = CharSize(word[i]);
      const int32_t c = size == 1 ? word[i] : CharAt(word, i);
      if (const int32_t id = TokenOfChar(c); id >= 0)
        AddKnown(id, &unknown, symbols);
      else
        TL_RETURN_IF_ERROR(AddUnknown(FallbackOf(word.substr(i, size)), &unknown, symbols));
    }
    Flush(&unknown, symbols);
    return absl::OkStatus();
  }

  const bool bytes_;
  bool ignore_merges_ = false, fuse_unknown_ = false, byte_fallback_ = false;
  absl::flat_hash_map<std::string, int32_t> ids_;
  absl::flat_hash_map<std::string, int32_t> byte_words_;  // with bytes_ and ignore_merges_
  std::array<int32_t, 0x10000> chars_;                    // tokens of one character, -1 for none
  absl::flat_hash_map<int32_t, int32_t> more_chars_;      // of those beyond chars_
  std::array<int32_t, 256> byte_ids_ = {};                // with bytes_: of the stand-ins, or -1
  std::array<Fallback, 256> byte_fallbacks_;              // where that is -1
  std::array<int32_t, 256> byte_tokens_ = {};             // of "<0x00>" and its like, or -1
  bool all_byte_tokens_ = true;
  std::string unknown_token_;
  bool has_unknown_ = false;
  int32_t unknown_ = -1;
  BpeMerger merger_;
  absl::flat_hash_set<uint64_t> joined_;  // characters that merges put side by side
  bool words_apart_ = true;
};

}  // namespace

absl::StatusOr<std::unique_ptr<TokenModel>> MakeBpeModel(const Json& model, bool bytes) {
  auto made = std::make_unique<BpeModel>(bytes);
  TL_RETURN_IF_ERROR(made->Load(model));
  return made;
}

}  // namespace tl::internal
