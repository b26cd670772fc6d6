// SPDX-License-Identifier: Apache-2.0
// What Hugging Face folders say of texts, in the ways in which they say it.
#include "data/folder_rules.h"

#include <gtest/gtest.h>

#include "base/json.h"

namespace tl {
namespace {

using Files = std::map<std::string, std::string>;

// 256 byte tokens with <|endoftext|> 0, <|im_start|> 1 and more, up to 402.
std::shared_ptr<const Tokenizer> GoldenTokenizer() {
  return LoadTokenizer(TL_SOURCE_DIR "/tests/data/golden/qwen2.json").value();
}

TextRules Rules(const Files& files) {
  const auto rules = ReadFolderRules(files, *GoldenTokenizer(), "folder");
  EXPECT_TRUE(rules.ok()) << rules.status();
  return rules.value_or(TextRules());
}

std::string Error(const Files& files) {
  return std::string(ReadFolderRules(files, *GoldenTokenizer(), "folder").status().message());
}

// Made of the golden one, with a post_processor.
std::string TokenizerJson(const nlohmann::json& processor) {
  nlohmann::json root = nlohmann::json::parse(GoldenTokenizer()->definition());
  root["post_processor"] = processor;
  return root.dump();
}

nlohmann::json Template(const nlohmann::json& before) {
  nlohmann::json single = before;
  single.push_back({{"Sequence", {{"id", "A"}, {"type_id", 0}}}});
  return {{"type", "TemplateProcessing"},
          {"single", single},
          {"special_tokens", {{"<|im_start|>", {{"id", "<|im_start|>"}, {"ids", {1}}}}}}};
}
const nlohmann::json kSpecial = {{"SpecialToken", {{"id", "<|im_start|>"}, {"type_id", 0}}}};

TEST(FolderRules, EndsAreNumbersListsAndNames) {
  EXPECT_EQ(Rules({}).ends, (std::vector<int32_t>{0})) << "the usual name";
  EXPECT_EQ(Rules({{"config.json", R"({"eos_token_id": 7})"}}).ends, (std::vector<int32_t>{7}));
  EXPECT_EQ(Rules({{"config.json", R"({"eos_token_id": [7, 9]})"},
                   {"generation_config.json", R"({"eos_token_id": [9, 302]})"},
                   {"tokenizer_config.json", R"({"eos_token": "<|im_start|>"})"}})
                .ends,
            (std::vector<int32_t>{1, 7, 9, 302}));
  EXPECT_EQ(
      Rules({{"tokenizer_config.json", R"({"eos_token": {"content": "<|im_start|>"}})"}}).ends,
      (std::vector<int32_t>{1}));
  EXPECT_EQ(Rules({{"special_tokens_map.json", R"({"eos_token": "<|im_start|>"})"}}).ends,
            (std::vector<int32_t>{1}));
  EXPECT_EQ(Rules({{"config.json", R"({"eos_token_id": null, "pad_token_id": -1})"}}),
            (TextRules{.ends = {0}}));
}

TEST(FolderRules, OtherTokensAndTheContext) {
  const TextRules rules = Rules(
      {{"config.json",
        R"({"bos_token_id": 3, "pad_token_id": 5, "max_position_embeddings": 40960, "x": NaN})"},
       {"tokenizer_config.json", R"({"unk_token": "<|endoftext|>", "bos_token": null})"}});
  EXPECT_EQ(rules.begin, 3);
  EXPECT_FALSE(rules.adds_begin);
  EXPECT_EQ(rules.pad, 5);
  EXPECT_EQ(rules.unknown, 0);
  EXPECT_EQ(rules.context_length, 40960);
}

TEST(FolderRules, BeginIsAddedWhereTheFolderSaysSo) {
  const auto begins = [](const Files& files) {
    const TextRules rules = Rules(files);
    return rules.adds_begin ? rules.begin : -1;
  };
  const std::string bos = R"("bos_token": "<|im_start|>")";
  const auto config = [&](const std::string& more) {
    return std::pair<const std::string, std::string>{"tokenizer_config.json",
                                                     "{" + bos + more + "}"};
  };
  EXPECT_EQ(begins({config("")}), -1);
  EXPECT_EQ(begins({config(R"(, "add_bos_token": true)")}), 1);
  EXPECT_EQ(begins({config(R"(, "tokenizer_class": "LlamaTokenizer")")}), 1);
  EXPECT_EQ(begins({config(R"(, "tokenizer_class": "LlamaTokenizer", "add_bos_token": false)")}),
            -1);
  EXPECT_EQ(begins({config(R"(, "tokenizer_class": "GPT2Tokenizer")")}), -1);
  const std::string with = TokenizerJson(Template(nlohmann::json::array({kSpecial}))),
                    without = TokenizerJson(Template(nlohmann::json::array()));
  EXPECT_EQ(begins({{"tokenizer.json", with}}), 1);
  EXPECT_EQ(begins({{"tokenizer.json", without}}), -1);
  EXPECT_EQ(begins({{"tokenizer.json", without},
                    config(R"(, "tokenizer_class": "PreTrainedTokenizerFast")")}),
            -1);
  EXPECT_EQ(begins({{"tokenizer.json", with}, config(R"(, "add_bos_token": false)")}), -1);
  // As Llama 3 has it.
  const nlohmann::json sequence = {
      {"type", "Sequence"},
      {"processors", {{{"type", "ByteLevel"}}, Template(nlohmann::json::array({kSpecial}))}}};
  EXPECT_EQ(begins({{"tokenizer.json", TokenizerJson(sequence)}}), 1);
  // tokenizer.model alone.
  EXPECT_EQ(begins({{"config.json", R"({"model_type": "llama", "bos_token_id": 1})"}}), 1);
  EXPECT_EQ(begins({{"config.json", R"({"model_type": "qwen2", "bos_token_id": 1})"}}), -1);
}

TEST(FolderRules, RefusesWhatMakesNoSense) {
  EXPECT_EQ(Error({{"config.json", R"({"eos_token_id": "</s>"})"}}),
            "folder/config.json: \"eos_token_id\": expected a token's number or a list of them, "
            "found \"</s>\"");
  EXPECT_NE(Error({{"generation_config.json", R"({"eos_token_id": [[1]]})"}}).find("found [[1]]"),
            std::string::npos);
  EXPECT_NE(Error({{"generation_config.json", "[]"}})
                .find("folder/generation_config.json: expected a JSON object"),
            std::string::npos);
  EXPECT_NE(Error({{"tokenizer_config.json", "{"}}).find("tokenizer_config.json: not JSON"),
            std::string::npos);
  EXPECT_NE(Error({{"tokenizer.json",
                    TokenizerJson(Template(nlohmann::json::array({kSpecial, kSpecial})))}})
                .find("expected at most one token before a text, found 2"),
            std::string::npos);
}

TEST(FolderRules, ChatTemplates) {
  EXPECT_EQ(ChatTemplate({}), "");
  const std::pair<const std::string, std::string> config = {"tokenizer_config.json",
                                                            R"({"chat_template": "A"})"};
  EXPECT_EQ(ChatTemplate({config}), "A");
  EXPECT_EQ(ChatTemplate({config, {"chat_template.jinja", "B"}}), "B");
  EXPECT_EQ(ChatTemplate({{"chat_template.json", R"({"chat_template": "C"})"}}), "C");
  EXPECT_EQ(ChatTemplate({{"tokenizer_config.json",
                           R"({"chat_template": [{"name": "tool_use", "template": "T"},
                                                 {"name": "default", "template": "D"}]})"}}),
            "D");
}

TEST(FolderRules, TokensByTheirNames) {
  const TokenNames names(GoldenTokenizer()->definition());
  EXPECT_EQ(names.Find("<|endoftext|>"), 0);
  EXPECT_EQ(names.Find("<|nowhere|>"), -1);
  EXPECT_EQ(TokenName(*GoldenTokenizer(), 1), "<|im_start|> (1)");
  EXPECT_EQ(TokenName(*GoldenTokenizer(), 9999), "token 9999");
  EXPECT_EQ(TokenNames("").Find("a"), -1);
}

}  // namespace
}  // namespace tl
