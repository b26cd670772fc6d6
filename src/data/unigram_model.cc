// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "data/byte_trie.h"
#include "data/characters.h"
#include "data/token_model.h"

namespace tl::internal {
namespace {

// The number that tokenizers reads where the shortest decimals of `value` are written: its parser
// divides their digits by a power of ten, which may be off by the last bit. That decides between
// cuts whose sums are equal.
double AsTokenizersReads(double value) {
  char text[64];
  const auto end =
      std::to_chars(text, text + sizeof(text), std::abs(value), std::chars_format::scientific);
  uint64_t digits = 0;
  int exponent = 0;
  const char* p = text;
  for (bool fraction = false; p < end.ptr && *p != 'e'; ++p) {
    if (*p == '.') {
      fraction = true;
      continue;
    }
    if (*p < '0' || *p > '9') return value;  // no number
    digits = digits * 10 + static_cast<uint64_t>(*p - '0');
    if (fraction) --exponent;
  }
  int power = 0;
  if (p + 1 < end.ptr) std::from_chars(p[1] == '+' ? p + 2 : p + 1, end.ptr, power);
  exponent += power;
  constexpr int kMostPower = 22;  // of those of ten that doubles hold exactly
  if (exponent < -kMostPower || exponent > 0) return value;
  const double read = static_cast<double>(digits) / std::pow(10.0, -exponent);
  return std::signbit(value) ? -read : read;
}

// The cut of a word into pieces whose scores sum to the most, by Viterbi's algorithm. Of sums that
// are equal the first one found, with pieces that begin further left, stays; doubles are added in
// tokenizers' order, so that it finds the same.
class UnigramModel : public TokenModel {
 public:
  absl::Status Load(const Json& model) {
    const Json& vocab = Get(model, "vocab");
    if (!vocab.is_array() || vocab.empty())
      return BadPart("model.vocab", "an array of [token, score]", vocab);
    if (vocab.size() >= static_cast<size_t>(kMostIds))
      return BadPart("model.vocab", absl::StrCat("less than ", kMostIds, " tokens"), vocab.size());
    ids_.reserve(vocab.size());
    double least = std::numeric_limits<double>::infinity();
    for (const Json& entry : vocab) {
      if (!entry.is_array() || entry.size() != 2 || !entry[0].is_string() || !entry[1].is_number())
        return BadPart("model.vocab", "[token, score]", entry);
      // Of equal tokens the last one's id and score count.
      ids_[entry[0].get<std::string>()] = static_cast<int32_t>(tokens_.size());
      tokens_.push_back(entry[0].get<std::string>());
      scores_.push_back(AsTokenizersReads(entry[1].get<double>()));
      least = std::min(least, scores_.back());
    }
    constexpr double kUnknownPenalty = 10.0;
    unknown_score_ = least - kUnknownPenalty;
    const Json& unknown = Get(model, "unk_id");
    if (!unknown.is_null()) {
      if (!IsId(unknown) || unknown.get<size_t>() >= tokens_.size())
        return BadPart("model.unk_id", "the id of a token of model.vocab", unknown);
      unknown_ = unknown.get<int32_t>();
    }
    byte_fallback_ = Flag(model, "byte_fallback", false);
    for (int b = 0; b < 256; ++b) byte_tokens_[b] = Find(ByteTokenName(b));
    std::vector<std::pair<std::string, int32_t>> sorted;
    for (const auto& [token, id] : ids_) {
      if (!token.empty()) sorted.emplace_back(token, id);
    }
    std::sort(sorted.begin(), sorted.end());
    trie_ = ByteTrie(sorted);
    return absl::OkStatus();
  }

  int32_t Find(absl::string_view token) const override {
    const auto it = ids_.find(token);
    return it == ids_.end() ? -1 : it->second;
  }

  // Sums of a whole word decide between pieces anywhere in it.
  bool Apart(int32_t, int32_t) const override { return false; }

  absl::Status Encode(absl::string_view word, std::vector<int32_t>* ids) const override {
    std::vector<Node> best(word.size() + 1);  // by the byte that a path ends at
    best[0].begin = 0;
    for (size_t at = 0, size; at < word.size(); at += size) {
      size = CharSize(word[at]);
      const double so_far = best[at].score;
      bool alone = false;  // whether the character is a piece
      const auto reach = [&](size_t length, int32_t id, double score) {
        Node& node = best[at + length];
        if (node.begin != kNone && !(so_far + score > node.score)) return;
        node = {so_far + score, at, id};
      };
      trie_.ForEachPrefix(word.substr(at), [&](size_t length, int32_t id) {
        reach(length, id, scores_[static_cast<size_t>(id)]);
        alone = alone || length == size;
      });
      if (alone) continue;
      reach(size, kUnknownHere, unknown_score_);
      if (unknown_ < 0 && best[at + size].id == kUnknownHere) return NoUnknown(word, at, size);
      if (best[at + size].id == kUnknownHere) best[at + size].id = unknown_;
    }
    return Emit(word, best, ids);
  }

 private:
  static constexpr size_t kNone = static_cast<size_t>(-1);
  static constexpr int32_t kUnknownHere = -2;
  struct Node {
    double score = 0.0;
    size_t begin = kNone;  // of the last piece of the best path
    int32_t id = -1;
  };

  static absl::Status NoUnknown(absl::string_view word, size_t at, size_t size) {
    return absl::InvalidArgumentError(absl::StrCat("model.unk_id: expected one for '",
                                                   word.substr(at, size),
                                                   "', which no token stands for, found none"));
  }

  // Pieces from the right; unknown ones side by side are one.
  absl::Status Emit(absl::string_view word, const std::vector<Node>& best,
                    std::vector<int32_t>* ids) const {
    std::vector<absl::string_view> pieces;
    size_t end = word.size();
    while (end > 0) {
      size_t begin = best[end].begin;
      if (unknown_ >= 0 && best[end].id == unknown_) {
        while (begin > 0 && best[begin].id == unknown_) begin = best[begin].begin;
      }
      pieces.push_back(word.substr(begin, end - begin));
      end = begin;
    }
    for (auto piece = pieces.rbegin(); piece != pieces.rend(); ++piece) {
      if (const int32_t id = Find(*piece); id >= 0) {
        ids->push_back(id);
        continue;
      }
      if (AddBytes(*piece, ids)) continue;
      if (unknown_ < 0) return NoUnknown(*piece, 0, piece->size());
      ids->push_back(unknown_);
    }
    return absl::OkStatus();
  }

  bool AddBytes(absl::string_view piece, std::vector<int32_t>* ids) const {
    if (!byte_fallback_) return false;
    const auto of = [&](char c) { return byte_tokens_[static_cast<unsigned char>(c)]; };
    if (std::any_of(piece.begin(), piece.end(), [&](char c) { return of(c) < 0; })) return false;
    std::transform(piece.begin(), piece.end(), std::back_inserter(*ids), of);
    return true;
  }

  absl::flat_hash_map<std::string, int32_t> ids_;
  std::vector<double> scores_;
  ByteTrie trie_;
  int32_t unknown_ = -1;
  double unknown_score_ = 0.0;
  bool byte_fallback_ = false;
  std::array<int32_t, 256> byte_tokens_ = {};  // of "<0x00>" and its like, or -1
};

}  // namespace

absl::StatusOr<std::unique_ptr<TokenModel>> MakeUnigramModel(const Json& model) {
  auto made = std::make_unique<UnigramModel>();
  TL_RETURN_IF_ERROR(made->Load(model));
  return made;
}

}  // namespace tl::internal
