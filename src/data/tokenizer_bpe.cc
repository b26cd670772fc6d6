#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <nlohmann/json.hpp>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "base/utf8.h"
#include "data/added_tokens.h"
#include "data/bpe_merge.h"
#include "data/bpe_split.h"
#include "data/tokenizer.h"

namespace tl {
namespace {

using internal::AddedToken;
using internal::AddedTokens;
using internal::BpeMerger;
using internal::SplitStage;
using Json = nlohmann::json;

// What tokenizers' ByteLevel splits by where use_regex is on.
constexpr char kGpt2Pattern[] =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

absl::Status Bad(absl::string_view key, absl::string_view expected, const Json& found) {
  return absl::InvalidArgumentError(
      absl::StrCat(key, ": expected ", expected, ", found ", Shortened(found.dump(), 200)));
}

absl::Status Unsupported(absl::string_view what) {
  return absl::UnimplementedError(absl::StrCat(what, " is not supported"));
}

const Json& Get(const Json& object, const char* key) {
  static const Json null;
  const auto it = object.find(key);
  return it == object.end() ? null : *it;
}

std::string TypeOf(const Json& object) {
  const Json& type = Get(object, "type");
  return type.is_string() ? type.get<std::string>() : "";
}

bool Flag(const Json& object, const char* key, bool otherwise) {
  const Json& value = Get(object, key);
  return value.is_boolean() ? value.get<bool>() : otherwise;
}

// GPT-2's printable stand-ins for the 256 bytes: printable ones stand for themselves, the others
// for U+0100 up in ascending order.
std::vector<int32_t> StandIns() {
  std::vector<int32_t> chars(256);
  int32_t next = 256;
  for (int b = 0; b < 256; ++b) {
    const bool printable = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
    chars[b] = printable ? b : next++;
  }
  return chars;
}

// The bytes that a string of stand-ins means; false where a character is none.
bool ToBytes(const std::string& text, std::string* bytes) {
  static const std::vector<int16_t> byte_of = [] {
    std::vector<int16_t> table(512, -1);
    const std::vector<int32_t> chars = StandIns();
    for (int b = 0; b < 256; ++b) table[chars[b]] = static_cast<int16_t>(b);
    return table;
  }();
  bytes->clear();
  const auto* p = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  for (size_t i = 0; i < text.size();) {
    utf8proc_int32_t c = -1;
    const utf8proc_ssize_t n =
        utf8proc_iterate(p + i, static_cast<utf8proc_ssize_t>(text.size() - i), &c);
    if (n <= 0 || c < 0 || c >= 512 || byte_of[c] < 0) return false;
    bytes->push_back(static_cast<char>(byte_of[c]));
    i += static_cast<size_t>(n);
  }
  return true;
}

bool IsAscii(absl::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c & 0x80) == 0; });
}

absl::Status Nfc(absl::string_view text, std::string* out) {
  utf8proc_uint8_t* result = nullptr;
  const utf8proc_ssize_t n =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                   static_cast<utf8proc_ssize_t>(text.size()), &result,
                   static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  if (n < 0) return absl::ResourceExhaustedError(absl::StrCat("NFC: ", utf8proc_errmsg(n)));
  out->assign(reinterpret_cast<const char*>(result), static_cast<size_t>(n));
  std::free(result);
  return absl::OkStatus();
}

class BpeTokenizer : public Tokenizer {
 public:
  absl::Status Load(std::string definition) {
    definition_ = std::move(definition);
    const Json root = Json::parse(definition_, nullptr, /*allow_exceptions=*/false);
    if (root.is_discarded() || !root.is_object()) {
      return absl::InvalidArgumentError("not a tokenizer.json: no valid JSON object");
    }
    TL_RETURN_IF_ERROR(LoadModel(Get(root, "model")));
    TL_RETURN_IF_ERROR(LoadNormalizer(Get(root, "normalizer")));
    TL_RETURN_IF_ERROR(LoadPreTokenizer(Get(root, "pre_tokenizer")));
    if (TypeOf(Get(root, "decoder")) != "ByteLevel") {
      return Unsupported(absl::StrCat("decoder ", Shortened(Get(root, "decoder").dump(), 200)));
    }
    return LoadAddedTokens(Get(root, "added_tokens"));
  }

  TokenizerKind kind() const override { return TokenizerKind::kBpe; }
  int64_t vocab_size() const override { return static_cast<int64_t>(bytes_.size()); }
  int32_t end_id() const override { return end_id_; }
  const std::string& definition() const override { return definition_; }

  absl::Status Encode(absl::string_view text, std::vector<int32_t>* ids) const override {
    if (const size_t n = ValidUtf8Prefix(text); n != text.size()) {
      return absl::InvalidArgumentError(absl::StrCat("not UTF-8 at byte ", n));
    }
    Cache cache;
    std::vector<AddedTokens::Segment> raw, normal;
    raw_tokens_.Split(text, &raw);
    std::string storage;
    for (const AddedTokens::Segment& segment : raw) {
      if (segment.id >= 0) {
        ids->push_back(segment.id);
        continue;
      }
      TL_ASSIGN_OR_RETURN(const absl::string_view normalized, Normalize(segment.text, &storage));
      normal.clear();
      normalized_tokens_.Split(normalized, &normal);
      for (const AddedTokens::Segment& s : normal) {
        if (s.id >= 0) {
          ids->push_back(s.id);
        } else {
          TL_RETURN_IF_ERROR(EncodeWords(s.text, &cache, ids));
        }
      }
    }
    return absl::OkStatus();
  }

  std::string Decode(absl::Span<const int32_t> ids) const override {
    std::string text;
    for (int32_t id : ids) {
      if (id >= 0 && id < vocab_size()) text += bytes_[id];
    }
    return text;
  }

  size_t CutPoint(absl::string_view text) const override {
    if (raw_tokens_.looks_around() || normalized_tokens_.looks_around()) return 0;
    text = text.substr(0, ValidUtf8Prefix(text));
    // An added token that begins in the last bytes may not be whole yet.
    const size_t margin = std::max(raw_tokens_.longest(), normalized_tokens_.longest());
    if (text.size() <= margin) return 0;
    std::vector<AddedTokens::Segment> raw, normal;
    raw_tokens_.Split(text, &raw);
    const absl::string_view last = raw.back().id < 0 ? raw.back().text : absl::string_view();
    const size_t begin = text.size() - last.size();
    const size_t fallback = begin + margin <= text.size() ? begin : 0;
    std::string storage;
    const auto normalized = Normalize(last, &storage);
    if (!normalized.ok()) return fallback;
    absl::string_view seen = *normalized;
    // What follows the last blank may yet compose with what comes; a blank composes with nothing.
    if (nfc_) seen = seen.substr(0, seen.find_last_of(" \n") + 1);
    normalized_tokens_.Split(seen, &normal);
    if (normal.empty() || normal.back().id >= 0 || stages_.empty() || add_prefix_space_) {
      return fallback;
    }
    const absl::string_view tail = normal.back().text;
    size_t limit = normalized->size() > margin ? normalized->size() - margin : 0;
    const size_t tail_begin = seen.size() - tail.size();
    if (limit <= tail_begin) return fallback;
    limit -= tail_begin;
    if (*normalized == last) {
      const size_t cut = stages_[0].LastBoundary(tail, limit);
      return cut == 0 ? fallback : begin + tail_begin + cut;
    }
    // Composing changes lengths, but neither adds nor takes blanks, so they tell the same place.
    const auto is_blank = [](char c) { return c == ' ' || c == '\n'; };
    for (int tries = 0; tries < 16 && limit > 0; ++tries, --limit) {
      limit = tail.find_last_of(" \n", limit);
      if (limit == absl::string_view::npos || limit == 0) break;
      if (stages_[0].LastBoundary(tail, limit) != limit) continue;
      auto blanks = std::count_if(seen.begin(), seen.begin() + tail_begin + limit, is_blank);
      size_t at = 0;
      while (!is_blank(last[at]) || blanks-- > 0) ++at;
      return begin + at + margin <= text.size() ? begin + at : fallback;
    }
    return fallback;
  }

 private:
  // The ids of words met in this text: begin and count in `ids`.
  struct Cache {
    absl::flat_hash_map<std::string, std::pair<size_t, size_t>> words;
    std::vector<int32_t> ids;
  };

  absl::Status LoadModel(const Json& model) {
    const std::string type = TypeOf(model);
    if (!model.is_object() || !(type == "BPE" || type.empty())) {
      return Unsupported(absl::StrCat("model type '", type, "' (expected BPE)"));
    }
    for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
      const Json& value = Get(model, key);
      if (!value.is_null() && value != "") {
        return Unsupported(absl::StrCat("model.", key, " ", value.dump()));
      }
    }
    if (const Json& dropout = Get(model, "dropout"); !dropout.is_null() && dropout != 0.0) {
      return Unsupported(absl::StrCat("model.dropout ", dropout.dump()));
    }
    ignore_merges_ = Flag(model, "ignore_merges", false);
    const Json& vocab = Get(model, "vocab");
    if (!vocab.is_object() || vocab.empty()) return Bad("model.vocab", "an object", vocab);
    absl::flat_hash_map<std::string, int32_t> id_of;
    id_of.reserve(vocab.size());
    for (const auto& [token, id] : vocab.items()) {
      if (!IsId(id)) return Bad(absl::StrCat("model.vocab['", token, "']"), "an id", id);
      const auto i = id.get<int32_t>();
      id_of[token] = i;
      std::string bytes;
      if (!ToBytes(token, &bytes)) bytes = token;
      SetBytes(i, bytes);
      if (ignore_merges_) word_ids_[bytes] = i;
    }
    const std::vector<int32_t> stand_ins = StandIns();
    for (int b = 0; b < 256; ++b) {
      utf8proc_uint8_t utf8[4];
      const auto n = static_cast<size_t>(utf8proc_encode_char(stand_ins[b], utf8));
      const std::string key(reinterpret_cast<const char*>(utf8), n);
      const auto it = id_of.find(key);
      if (it == id_of.end()) {
        return absl::InvalidArgumentError(absl::StrCat(
            "model.vocab: expected a token for each of the 256 bytes, found none for byte ", b,
            " ('", key, "')"));
      }
      merger_.SetByte(static_cast<unsigned char>(b), it->second);
    }
    const Json& merges = Get(model, "merges");
    if (!merges.is_array()) return Bad("model.merges", "an array", merges);
    for (const Json& merge : merges) {
      std::string left, right;
      if (merge.is_string()) {
        const auto& text = merge.get_ref<const std::string&>();
        const size_t space = text.find(' ');
        if (space == std::string::npos) return Bad("model.merges", "two tokens", merge);
        left = text.substr(0, space);
        right = text.substr(space + 1);
      } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() &&
                 merge[1].is_string()) {
        left = merge[0].get<std::string>();
        right = merge[1].get<std::string>();
      } else {
        return Bad("model.merges", "\"a b\" or [\"a\", \"b\"]", merge);
      }
      const auto a = id_of.find(left), b = id_of.find(right), both = id_of.find(left + right);
      if (a == id_of.end() || b == id_of.end() || both == id_of.end()) {
        return Bad("model.merges", "tokens of model.vocab, and their concatenation in it", merge);
      }
      merger_.AddMerge(a->second, b->second, both->second);
    }
    return absl::OkStatus();
  }

  absl::Status LoadNormalizer(const Json& normalizer) {
    if (normalizer.is_null()) return absl::OkStatus();
    const std::string type = TypeOf(normalizer);
    if (type == "NFC") {
      nfc_ = true;
      return absl::OkStatus();
    }
    if (type == "Sequence" && Get(normalizer, "normalizers").is_array()) {
      for (const Json& part : Get(normalizer, "normalizers")) {
        TL_RETURN_IF_ERROR(LoadNormalizer(part));
      }
      return absl::OkStatus();
    }
    return Unsupported(absl::StrCat("normalizer ", Shortened(normalizer.dump(), 200)));
  }

  absl::Status LoadPreTokenizer(const Json& root) {
    std::vector<Json> parts = {root};
    if (TypeOf(root) == "Sequence" && Get(root, "pretokenizers").is_array()) {
      parts = Get(root, "pretokenizers").get<std::vector<Json>>();
    }
    bool byte_level = false;
    for (const Json& part : parts) {
      const std::string type = TypeOf(part);
      const auto refuse = [&] {
        return Unsupported(absl::StrCat("pre_tokenizer ", Shortened(part.dump(), 300)));
      };
      // Beyond ByteLevel words are made of stand-ins, which other patterns do not mean.
      if (byte_level) return refuse();
      if (type == "ByteLevel") {
        byte_level = true;
        add_prefix_space_ = Flag(part, "add_prefix_space", true);
        if (add_prefix_space_ && parts.size() > 1) return refuse();
        if (Flag(part, "use_regex", true)) {
          TL_RETURN_IF_ERROR(AddStage(kGpt2Pattern, false, SplitStage::Keep::kAll));
        }
      } else if (type == "Digits") {
        TL_RETURN_IF_ERROR(
            AddStage(Flag(part, "individual_digits", false) ? R"(\p{N})" : R"(\p{N}+)", false,
                     SplitStage::Keep::kAll));
      } else if (type == "Split" && Get(part, "pattern").is_object() &&
                 Get(part, "behavior").is_string()) {
        const std::string behavior = Get(part, "behavior").get<std::string>();
        const bool invert = Flag(part, "invert", false);
        SplitStage::Keep keep = SplitStage::Keep::kAll;
        if (behavior == "Removed") {
          keep = invert ? SplitStage::Keep::kMatches : SplitStage::Keep::kBetween;
        } else if (behavior != "Isolated") {
          return refuse();
        }
        const Json& regex = Get(Get(part, "pattern"), "Regex");
        const Json& literal = Get(Get(part, "pattern"), "String");
        if (!regex.is_string() && !literal.is_string()) return refuse();
        TL_RETURN_IF_ERROR(AddStage((regex.is_string() ? regex : literal).get<std::string>(),
                                    !regex.is_string(), keep));
      } else {
        return refuse();
      }
    }
    if (!byte_level) {
      return Unsupported(absl::StrCat("pre_tokenizer ", Shortened(root.dump(), 200),
                                      " (expected ByteLevel, alone or last in a Sequence)"));
    }
    return absl::OkStatus();
  }

  absl::Status LoadAddedTokens(const Json& list) {
    if (list.is_null()) return absl::OkStatus();
    if (!list.is_array()) return Bad("added_tokens", "an array", list);
    std::vector<AddedToken> raw, normalized;
    // Names that end a document, the likeliest first.
    const std::vector<std::string> ends = {"<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>"};
    size_t best = ends.size();
    for (const Json& entry : list) {
      const Json& content = Get(entry, "content");
      const Json& id = Get(entry, "id");
      if (!content.is_string() || !IsId(id)) {
        return Bad("added_tokens", "an object with content and id", entry);
      }
      AddedToken token{.content = content.get<std::string>(),
                       .id = id.get<int32_t>(),
                       .single_word = Flag(entry, "single_word", false),
                       .left_strip = Flag(entry, "lstrip", false),
                       .right_strip = Flag(entry, "rstrip", false)};
      SetBytes(token.id, token.content);
      const size_t end = std::find(ends.begin(), ends.end(), token.content) - ends.begin();
      if (end < best) {
        best = end;
        end_id_ = token.id;
      }
      const bool special = Flag(entry, "special", false);
      if (Flag(entry, "normalized", !special)) {
        if (nfc_) TL_RETURN_IF_ERROR(Nfc(std::string(token.content), &token.content));
        normalized.push_back(std::move(token));
      } else {
        raw.push_back(std::move(token));
      }
    }
    raw_tokens_ = AddedTokens(std::move(raw));
    normalized_tokens_ = AddedTokens(std::move(normalized));
    return absl::OkStatus();
  }

  absl::Status AddStage(const std::string& pattern, bool literal, SplitStage::Keep keep) {
    TL_ASSIGN_OR_RETURN(SplitStage stage, SplitStage::Make(pattern, literal, keep));
    stages_.push_back(std::move(stage));
    return absl::OkStatus();
  }

  static bool IsId(const Json& id) {
    return id.is_number_integer() && id.get<int64_t>() >= 0 && id.get<int64_t>() < 1 << 24;
  }

  void SetBytes(int32_t id, const std::string& bytes) {
    if (static_cast<size_t>(id) >= bytes_.size()) bytes_.resize(static_cast<size_t>(id) + 1);
    bytes_[static_cast<size_t>(id)] = bytes;
  }

  absl::StatusOr<absl::string_view> Normalize(absl::string_view text, std::string* storage) const {
    if (!nfc_ || IsAscii(text)) return text;
    TL_RETURN_IF_ERROR(Nfc(text, storage));
    return absl::string_view(*storage);
  }

  absl::Status EncodeWords(absl::string_view text, Cache* cache, std::vector<int32_t>* ids) const {
    std::string prefixed;
    if (add_prefix_space_ && text[0] != ' ') {
      prefixed = absl::StrCat(" ", text);
      text = prefixed;
    }
    std::vector<absl::string_view> words = {text}, next;
    for (const SplitStage& stage : stages_) {
      next.clear();
      for (absl::string_view word : words) TL_RETURN_IF_ERROR(stage.Split(word, &next));
      words.swap(next);
    }
    constexpr size_t kMostCached = 1 << 18, kLongestCached = 64;
    for (absl::string_view word : words) {
      if (ignore_merges_) {
        const auto whole = word_ids_.find(word);
        if (whole != word_ids_.end()) {
          ids->push_back(whole->second);
          continue;
        }
      }
      if (const auto it = cache->words.find(word); it != cache->words.end()) {
        const auto begin = cache->ids.begin() + static_cast<int64_t>(it->second.first);
        ids->insert(ids->end(), begin, begin + static_cast<int64_t>(it->second.second));
        continue;
      }
      const size_t before = ids->size();
      merger_.Encode(word, ids);
      if (word.size() <= kLongestCached && cache->words.size() < kMostCached) {
        cache->words[std::string(word)] = {cache->ids.size(), ids->size() - before};
        cache->ids.insert(cache->ids.end(), ids->begin() + static_cast<int64_t>(before),
                          ids->end());
      }
    }
    return absl::OkStatus();
  }

  std::string definition_;
  std::vector<std::string> bytes_;  // of each id
  BpeMerger merger_;
  absl::flat_hash_map<std::string, int32_t> word_ids_;  // with ignore_merges: words that are tokens
  bool ignore_merges_ = false;
  bool nfc_ = false;
  bool add_prefix_space_ = false;
  std::vector<SplitStage> stages_;
  AddedTokens raw_tokens_, normalized_tokens_;  // looked for before and after normalising
  int32_t end_id_ = -1;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Tokenizer>> MakeBpeTokenizer(std::string json) {
  auto tokenizer = std::make_unique<BpeTokenizer>();
  try {
    TL_RETURN_IF_ERROR(tokenizer->Load(std::move(json)));
  } catch (const Json::exception& e) {
    return absl::InvalidArgumentError(absl::StrCat("not a tokenizer.json: ", e.what()));
  }
  return tokenizer;
}

}  // namespace tl
