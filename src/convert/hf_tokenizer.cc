// SPDX-License-Identifier: Apache-2.0
#include "convert/hf_tokenizer.h"

#include <algorithm>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/json.h"
#include "base/status.h"
#include "data/characters.h"
#include "data/sentencepiece_proto.h"
#include "data/token_names.h"

namespace tl {
namespace {

using internal::kSpaceSign;
using OrderedJson = nlohmann::ordered_json;

std::string ByteTokenizerJson() {
  OrderedJson vocab = OrderedJson::object();
  const std::vector<std::string> tokens = ByteLevelTokens();
  for (size_t byte = 0; byte < tokens.size(); ++byte) vocab[tokens[byte]] = byte;
  const OrderedJson level = {{"type", "ByteLevel"},
                             {"add_prefix_space", false},
                             {"trim_offsets", false},
                             {"use_regex", false}};
  const OrderedJson root = {{"version", "1.0"},
                            {"truncation", nullptr},
                            {"padding", nullptr},
                            {"added_tokens", OrderedJson::array()},
                            {"normalizer", nullptr},
                            {"pre_tokenizer", level},
                            {"post_processor", nullptr},
                            {"decoder", level},
                            {"model",
                             {{"type", "BPE"},
                              {"dropout", nullptr},
                              {"unk_token", nullptr},
                              {"continuing_subword_prefix", nullptr},
                              {"end_of_word_suffix", nullptr},
                              {"fuse_unk", false},
                              {"byte_fallback", false},
                              {"ignore_merges", false},
                              {"vocab", vocab},
                              {"merges", OrderedJson::array()}}}};
  return root.dump(1) + "\n";
}

// Every pair of pieces that makes a piece, in the order in which SentencePiece would merge them:
// by the score of what they make, then from the left, as ids have it.
OrderedJson Merges(const SentencePieceProto& proto) {
  std::unordered_map<std::string, int> ids;
  for (size_t id = 0; id < proto.pieces.size(); ++id) {
    if (proto.pieces[id].type == SentencePieceProto::Type::kNormal)
      ids.emplace(proto.pieces[id].text, static_cast<int>(id));
  }
  std::vector<std::tuple<float, int, int, std::string, std::string>> merges;
  for (const auto& piece : proto.pieces) {
    if (piece.type != SentencePieceProto::Type::kNormal) continue;
    for (size_t cut = 1; cut < piece.text.size(); ++cut) {
      const std::string left = piece.text.substr(0, cut), right = piece.text.substr(cut);
      const auto a = ids.find(left), b = ids.find(right);
      if (a != ids.end() && b != ids.end())
        merges.emplace_back(-piece.score, a->second, b->second, left, right);
    }
  }
  std::sort(merges.begin(), merges.end());
  OrderedJson out = OrderedJson::array();
  for (const auto& [score, a, b, left, right] : merges) out.push_back({left, right});
  return out;
}

// Empty where tokenizers has no such tokenizer.
std::string SentencePieceJson(const SentencePieceProto& proto) {
  using Type = SentencePieceProto::Type;
  if (!proto.bpe || !proto.byte_fallback || !proto.identity || proto.add_dummy_prefix ||
      proto.remove_extra_whitespaces || !proto.escape_whitespaces)
    return "";
  OrderedJson vocab = OrderedJson::object(), added = OrderedJson::array(), unknown = nullptr;
  for (size_t id = 0; id < proto.pieces.size(); ++id) {
    const auto& piece = proto.pieces[id];
    vocab[piece.text] = id;
    if (piece.type == Type::kUnknown) unknown = piece.text;
    if (piece.type != Type::kUnknown && piece.type != Type::kControl &&
        piece.type != Type::kUserDefined)
      continue;
    added.push_back({{"id", id},
                     {"content", piece.text},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", piece.type != Type::kUserDefined}});
  }
  const auto replace = [](const char* from, const char* to) {
    return OrderedJson{{"type", "Replace"}, {"pattern", {{"String", from}}}, {"content", to}};
  };
  const OrderedJson root = {{"version", "1.0"},
                            {"truncation", nullptr},
                            {"padding", nullptr},
                            {"added_tokens", added},
                            {"normalizer", replace(" ", kSpaceSign)},
                            {"pre_tokenizer", nullptr},
                            {"post_processor", nullptr},
                            {"decoder",
                             {{"type", "Sequence"},
                              {"decoders",
                               {replace(kSpaceSign, " "), OrderedJson{{"type", "ByteFallback"}},
                                OrderedJson{{"type", "Fuse"}}}}}},
                            {"model",
                             {{"type", "BPE"},
                              {"dropout", nullptr},
                              {"unk_token", unknown},
                              {"continuing_subword_prefix", nullptr},
                              {"end_of_word_suffix", nullptr},
                              {"fuse_unk", true},
                              {"byte_fallback", true},
                              {"ignore_merges", false},
                              {"vocab", vocab},
                              {"merges", Merges(proto)}}}};
  return root.dump(1) + "\n";
}

}  // namespace

std::vector<std::string> ByteLevelTokens() {
  std::vector<std::string> tokens;
  for (int byte = 0, next = 256; byte < 256; ++byte) {
    const bool printable =
        (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    const int c = printable ? byte : next++;
    tokens.push_back(c < 128 ? std::string(1, static_cast<char>(c))
                             : std::string{static_cast<char>(0xc0 | (c >> 6)),
                                           static_cast<char>(0x80 | (c & 0x3f))});
  }
  return tokens;
}

absl::StatusOr<std::map<std::string, std::string>> HuggingFaceTokenizer(const Tokenizer& tokenizer,
                                                                        const TextRules& rules,
                                                                        int64_t max_positions) {
  std::map<std::string, std::string> files;
  OrderedJson config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                        {"model_max_length", max_positions},
                        {"clean_up_tokenization_spaces", false}};
  switch (tokenizer.kind()) {
    case TokenizerKind::kBytes:
      files["tokenizer.json"] = ByteTokenizerJson();
      break;
    case TokenizerKind::kBpe:
      files["tokenizer.json"] = tokenizer.definition();
      break;
    case TokenizerKind::kSentencePiece: {
      TL_ASSIGN_OR_RETURN(const SentencePieceProto proto,
                          ParseSentencePieceProto(tokenizer.definition()));
      files["tokenizer.model"] = tokenizer.definition();
      if (std::string json = SentencePieceJson(proto); !json.empty())
        files["tokenizer.json"] = std::move(json);
      else
        config["tokenizer_class"] = "LlamaTokenizer";
      config["add_bos_token"] = rules.adds_begin;
      config["add_eos_token"] = false;
      break;
    }
    case TokenizerKind::kNone:
      return absl::InvalidArgumentError("no tokenizer");
  }
  if (rules.adds_begin) config["add_bos_token"] = true;
  for (const auto& [key, id] : {std::pair{"bos_token", rules.begin},
                                {"eos_token", rules.end()},
                                {"pad_token", rules.pad},
                                {"unk_token", rules.unknown}}) {
    if (const std::string name = TokenText(tokenizer, id); !name.empty()) config[key] = name;
  }
  files["tokenizer_config.json"] = config.dump(2) + "\n";
  return files;
}

}  // namespace tl
