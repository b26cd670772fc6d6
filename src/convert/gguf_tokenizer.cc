// SPDX-License-Identifier: Apache-2.0
#include "convert/gguf_tokenizer.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/json.h"
#include "base/logging.h"
#include "base/status.h"
#include "base/utf8.h"
#include "convert/gguf_scores.h"
#include "convert/hf_tokenizer.h"
#include "data/folder_rules.h"
#include "data/json_parts.h"
#include "data/sentencepiece_proto.h"
#include "data/token_model.h"
#include "data/token_names.h"

namespace tl {
namespace {

using internal::Flag;
using internal::Json;
using Type = SentencePieceProto::Type;

// How words are split before merging: llama.cpp's name, and the pattern of the tokenizer.json that
// has it; empty: ByteLevel's own; "digits": that behind single digits.
struct Split {
  const char* name;
  const char* pattern;
  bool ignore_merges;
};
constexpr Split kSplits[] = {
    {"gpt-2", "", false},
    {"llama-bpe",
     R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
     R"(|\s*[\r\n]+|\s+(?!\S)|\s+)",
     true},
    {"qwen2",
     R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
     R"(|\s*[\r\n]+|\s+(?!\S)|\s+)",
     false},
    {"smollm", "digits", false},
};

struct Vocabulary {
  explicit Vocabulary(int64_t size) : tokens(size), types(size, static_cast<int>(Type::kUnused)) {}
  void Set(int64_t id, std::string token, Type type) {
    tokens[static_cast<size_t>(id)] = std::move(token);
    types[static_cast<size_t>(id)] = static_cast<int>(type);
  }
  void AddTo(GgufMetadata& metadata) {
    for (size_t id = 0; id < tokens.size(); ++id) {
      if (types[id] == static_cast<int>(Type::kUnused)) tokens[id] = absl::StrCat("[PAD", id, "]");
    }
    metadata.Add("tokenizer.ggml.tokens", tokens);
    metadata.Add("tokenizer.ggml.token_type", types);
  }
  // A token that no text is made of, -1 where all are.
  int32_t FirstThatIsNoText() const {
    for (const Type type : {Type::kUnused, Type::kControl}) {
      const auto found = std::find(types.begin(), types.end(), static_cast<int>(type));
      if (found != types.end()) return static_cast<int32_t>(found - types.begin());
    }
    return -1;
  }
  std::vector<std::string> tokens;
  std::vector<int32_t> types;
};

// llama.cpp has a key for each of three tokens at which a text ends.
constexpr const char* kEnds[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                                 "tokenizer.ggml.eom_token_id"};

// rules: with an end.
void AddRules(const ModelText& text, const TextRules& rules, GgufMetadata& metadata) {
  const auto number = [&](const char* key, int32_t id) {
    if (id >= 0) metadata.Add(key, static_cast<uint32_t>(id));
  };
  number("tokenizer.ggml.bos_token_id", rules.begin >= 0 ? rules.begin : rules.end());
  for (size_t i = 0; i < rules.ends.size(); ++i) {
    if (i < std::size(kEnds)) {
      number(kEnds[i], rules.ends[i]);
    } else {
      LogWarning(absl::StrCat("format gguf: llama.cpp ends texts at ", std::size(kEnds),
                              " tokens at most: not at ",
                              TokenName(*text.tokenizer, rules.ends[i])));
    }
  }
  number("tokenizer.ggml.padding_token_id", rules.pad);
  metadata.Add("tokenizer.ggml.add_bos_token", rules.adds_begin);
  metadata.Add("tokenizer.ggml.add_eos_token", false);
  if (const std::string chat = ChatTemplate(text.files); !chat.empty())
    metadata.Add("tokenizer.chat_template", chat);
}

// Without ends llama.cpp takes tokens of its own choice for them (11, or 1 and 2), which here may
// be text.
absl::Status AddRulesOf(const ModelText& text, const Vocabulary& vocabulary,
                        GgufMetadata& metadata) {
  TextRules rules = text.rules;
  if (rules.ends.empty()) rules.ends = {vocabulary.FirstThatIsNoText()};
  if (rules.end() < 0) {
    return absl::InvalidArgumentError(
        "format gguf: llama.cpp wants a token that ends texts, found none in the tokenizer, nor a "
        "special token or one that is not in use to stand for it; expected a [model] vocab larger "
        "than the tokenizer's");
  }
  AddRules(text, rules, metadata);
  return absl::OkStatus();
}

void AddBytes(const ModelText& text, int64_t vocab, GgufMetadata& metadata) {
  metadata.Add("tokenizer.ggml.model", "gpt2");
  metadata.Add("tokenizer.ggml.pre", "gpt-2");
  Vocabulary vocabulary(vocab);
  const std::vector<std::string> tokens = ByteLevelTokens();
  for (int64_t byte = 0; byte < 256; ++byte) vocabulary.Set(byte, tokens[byte], Type::kNormal);
  vocabulary.AddTo(metadata);
  metadata.Add("tokenizer.ggml.merges", std::vector<std::string>());
  AddRules(text, {.ends = {0}}, metadata);
}

// The pattern that words are split by where llama.cpp may know it: "" for ByteLevel's own; else
// something that is none.
std::string PatternOf(const Json& pre) {
  const auto level = [](const Json& part, bool regex) {
    return part["type"] == "ByteLevel" && !Flag(part, "add_prefix_space", true) &&
           Flag(part, "use_regex", true) == regex;
  };
  if (level(pre, true)) return "";
  if (pre["type"] != "Sequence" || pre["pretokenizers"].size() != 2) return "none";
  const Json &first = pre["pretokenizers"][0], &second = pre["pretokenizers"][1];
  if (first["type"] == "Digits" && Flag(first, "individual_digits", false) && level(second, true))
    return "digits";
  const bool known = first["type"] == "Split" && first["behavior"] == "Isolated" &&
                     !Flag(first, "invert", false) && first["pattern"].contains("Regex") &&
                     level(second, false);
  return known ? first["pattern"]["Regex"].get<std::string>() : "none";
}

// The ids and texts of added tokens. llama.cpp finds them in text as they are.
absl::Status AddAddedTokens(const Json& root, Vocabulary& vocabulary) {
  if (!root.value("added_tokens", Json()).is_array()) return absl::OkStatus();
  for (const Json& added : root["added_tokens"]) {
    for (const char* flag : {"lstrip", "rstrip", "single_word"}) {
      if (!Flag(added, flag, false)) continue;
      return absl::InvalidArgumentError(absl::StrCat("format gguf: llama.cpp has no ", flag,
                                                     ", which added_tokens asks for '",
                                                     added["content"].get<std::string>(), "'"));
    }
    vocabulary.Set(added["id"].get<int64_t>(), added["content"].get<std::string>(),
                   Flag(added, "special", false) ? Type::kControl : Type::kUserDefined);
  }
  return absl::OkStatus();
}

// BPE over characters with byte fallback: what SentencePiece's become.
absl::Status AddBpeOfCharacters(const ModelText& text, const Json& root, int64_t vocab,
                                GgufMetadata& metadata) {
  const Json& model = root["model"];
  TL_ASSIGN_OR_RETURN(const bool space_prefix, SpacePrefixForLlama(root));
  bool all_bytes = Flag(model, "byte_fallback", false) && !Flag(model, "ignore_merges", false);
  for (int byte = 0; byte < 256; ++byte)
    all_bytes = all_bytes && model["vocab"].contains(absl::StrFormat("<0x%02X>", byte));
  if (!all_bytes) {
    return absl::InvalidArgumentError(
        "format gguf: llama.cpp has no tokenizer that does what this tokenizer.json does; expected "
        "BPE with byte_fallback, a token for each of the 256 bytes, and without ignore_merges");
  }
  TL_ASSIGN_OR_RETURN(const std::vector<float> scores, ScoresOfMerges(model, vocab));
  metadata.Add("tokenizer.ggml.model", "llama");
  metadata.Add("tokenizer.ggml.pre", "default");
  Vocabulary vocabulary(vocab);
  for (const auto& [token, id] : model["vocab"].items()) {
    const bool is_byte = token.size() == 6 && token.substr(0, 3) == "<0x";
    vocabulary.Set(id.get<int64_t>(), token, is_byte ? Type::kByte : Type::kNormal);
  }
  TL_RETURN_IF_ERROR(AddAddedTokens(root, vocabulary));
  const Json unknown = model.value("unk_token", Json());
  if (unknown.is_string() && model["vocab"].contains(unknown.get<std::string>())) {
    const auto id = model["vocab"][unknown.get<std::string>()].get<int64_t>();
    vocabulary.Set(id, unknown.get<std::string>(), Type::kUnknown);
    metadata.Add("tokenizer.ggml.unknown_token_id", static_cast<uint32_t>(id));
  }
  vocabulary.AddTo(metadata);
  metadata.Add("tokenizer.ggml.scores", scores);
  metadata.Add("tokenizer.ggml.add_space_prefix", space_prefix);
  return AddRulesOf(text, vocabulary, metadata);
}

// The definition is one that the tokenizer was made from, so its parts are there.
absl::Status AddBpe(const ModelText& text, int64_t vocab, GgufMetadata& metadata) {
  Json root = Json::parse(text.tokenizer->definition());
  Json& model = root["model"];
  if (model["vocab"].is_array()) {
    return absl::InvalidArgumentError(
        "format gguf: llama.cpp's Unigram tokenizer is none of byte fallback; expected BPE, found "
        "model type 'Unigram'");
  }
  if (root["pre_tokenizer"].dump().find("\"ByteLevel\"") == std::string::npos)
    return AddBpeOfCharacters(text, root, vocab, metadata);
  if (!root["normalizer"].is_null() && root["normalizer"]["type"] != "NFC") {
    return absl::InvalidArgumentError(absl::StrCat("format gguf: llama.cpp has no normalizer ",
                                                   Shortened(root["normalizer"].dump(), 200),
                                                   "; expected null or NFC"));
  }
  const std::string pattern = PatternOf(root["pre_tokenizer"]);
  const bool ignore = Flag(model, "ignore_merges", false);
  const Split* split = nullptr;
  for (const Split& known : kSplits) {
    if (pattern == known.pattern && ignore == known.ignore_merges) split = &known;
  }
  if (split == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(
        "format gguf: llama.cpp has no name for this tokenizer's way of splitting words: "
        "pre_tokenizer ",
        Shortened(root["pre_tokenizer"].dump(), 300), ", ignore_merges ", ignore ? "true" : "false",
        "; expected that of GPT-2, Llama 3, Qwen2 or SmolLM2"));
  }
  metadata.Add("tokenizer.ggml.model", "gpt2");
  metadata.Add("tokenizer.ggml.pre", split->name);
  Vocabulary vocabulary(vocab);
  for (const auto& [token, id] : model["vocab"].items())
    vocabulary.Set(id.get<int64_t>(), token, Type::kNormal);
  TL_RETURN_IF_ERROR(AddAddedTokens(root, vocabulary));
  vocabulary.AddTo(metadata);
  std::vector<std::string> merges;
  for (const Json& merge : model["merges"]) {
    if (internal::IsMergesVersion(merge)) continue;
    merges.push_back(merge.is_string() ? merge.get<std::string>()
                                       : absl::StrCat(merge[0].get<std::string>(), " ",
                                                      merge[1].get<std::string>()));
  }
  metadata.Add("tokenizer.ggml.merges", merges);
  return AddRulesOf(text, vocabulary, metadata);
}

absl::Status AddSentencePiece(const ModelText& text, int64_t vocab, GgufMetadata& metadata) {
  TL_ASSIGN_OR_RETURN(const SentencePieceProto proto,
                      ParseSentencePieceProto(text.tokenizer->definition()));
  if (!proto.bpe || !proto.byte_fallback || !proto.identity || proto.remove_extra_whitespaces ||
      !proto.escape_whitespaces) {
    return absl::InvalidArgumentError(
        "format gguf: llama.cpp has no tokenizer that does what this SentencePiece model does; "
        "expected BPE with byte fallback on text that is not normalised");
  }
  metadata.Add("tokenizer.ggml.model", "llama");
  metadata.Add("tokenizer.ggml.pre", "default");
  Vocabulary vocabulary(vocab);
  std::vector<float> scores(static_cast<size_t>(vocab), -1e9f);
  for (size_t id = 0; id < proto.pieces.size(); ++id) {
    const auto& piece = proto.pieces[id];
    vocabulary.Set(static_cast<int64_t>(id), piece.text, piece.type);
    scores[id] = piece.score;
    if (piece.type == Type::kUnknown)
      metadata.Add("tokenizer.ggml.unknown_token_id", static_cast<uint32_t>(id));
  }
  vocabulary.AddTo(metadata);
  metadata.Add("tokenizer.ggml.scores", scores);
  metadata.Add("tokenizer.ggml.add_space_prefix", proto.add_dummy_prefix);
  return AddRulesOf(text, vocabulary, metadata);
}

}  // namespace

absl::Status AddGgufTokenizer(const ModelText& text, int64_t vocab, GgufMetadata& metadata) {
  switch (text.tokenizer->kind()) {
    case TokenizerKind::kBytes:
      AddBytes(text, vocab, metadata);
      return absl::OkStatus();
    case TokenizerKind::kBpe:
      return AddBpe(text, vocab, metadata);
    case TokenizerKind::kSentencePiece:
      return AddSentencePiece(text, vocab, metadata);
    case TokenizerKind::kNone:
      break;
  }
  return absl::InvalidArgumentError("format gguf: no tokenizer");
}

}  // namespace tl
