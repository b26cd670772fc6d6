// SPDX-License-Identifier: Apache-2.0
// Parts of a tokenizer.json one by one, in small ones made here. What is expected is what PyPI's
// tokenizers 0.23.3 gives.
#include <gtest/gtest.h>

#include <chrono>
#include <nlohmann/json.hpp>

#include "data/tokenizer.h"
#include "tests/data/tokenizers.h"

namespace tl {
namespace {

// A tokenizer.json whose tokens are these, by id, and nothing more.
Json Small(const std::vector<std::string>& tokens) {
  Json vocab = Json::object();
  for (size_t id = 0; id < tokens.size(); ++id) vocab[tokens[id]] = id;
  return {{"added_tokens", Json::array()},
          {"decoder", {{"type", "Fuse"}}},
          {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", Json::array()}}}};
}

void Add(Json* root, const std::string& content, Json flags) {
  flags["content"] = content;
  flags["id"] = (*root)["model"]["vocab"].value(
      content, (*root)["model"]["vocab"].size() + (*root)["added_tokens"].size());
  (*root)["added_tokens"].push_back(flags);
}

std::unique_ptr<Tokenizer> Make(const Json& root) {
  auto tokenizer = MakeJsonTokenizer(root.dump());
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return *std::move(tokenizer);
}

using Ids = std::vector<int32_t>;

void ExpectRefused(const Json& root, const std::string& part) {
  const auto tokenizer = MakeJsonTokenizer(root.dump());
  ASSERT_FALSE(tokenizer.ok()) << part;
  EXPECT_NE(std::string(tokenizer.status().message()).find(part), std::string::npos)
      << tokenizer.status() << "\nlacks " << part;
}

TEST(TokenizerParts, GivesBlanksToTheTokenThatTakesThemFirst) {
  Json root = Small({"a", "b", " ", "\n"});
  Add(&root, "\n", {{"lstrip", true}, {"rstrip", true}, {"special", true}});
  const auto tokenizer = Make(root);
  EXPECT_EQ(Encode(*tokenizer, "\n\n"), (Ids{3}));
  EXPECT_EQ(Encode(*tokenizer, "a\n\nb"), (Ids{0, 3, 1}));
  EXPECT_EQ(Encode(*tokenizer, "\n \n \n"), (Ids{3}));
  EXPECT_EQ(Encode(*tokenizer, " \n\n\n "), (Ids{3}));
}

TEST(TokenizerParts, KnowsCircledLettersForParts) {
  const std::vector<std::string> marks = {"\u24b6",     "\U0001f130", "\U0001f150",
                                          "\U0001f170", "\U0001f189", "\U0001f18a",
                                          "\U0001f12f", "\u24b5",     "\u24ea"};
  std::vector<std::string> tokens = {"a", "b"};
  tokens.insert(tokens.end(), marks.begin(), marks.end());
  Json root = Small(tokens);
  Add(&root, "ab", {{"single_word", true}, {"special", true}});
  const auto tokenizer = Make(root);
  for (int32_t i = 0; i < 9; ++i) {
    const Ids expected = i < 5 ? Ids{0, 1, i + 2} : Ids{11, i + 2};
    EXPECT_EQ(Encode(*tokenizer, "ab" + marks[static_cast<size_t>(i)]), expected) << i;
  }
}

TEST(TokenizerParts, FindsTheLongestAndFirstOfAddedTokens) {
  Json root = Small({"a", "b", " "});
  root["normalizer"] = {{"type", "Lowercase"}};
  Add(&root, "AB", {{"normalized", true}});
  Add(&root, "aB", {{"normalized", true}});
  Add(&root, "ABBA", {{"normalized", true}});
  const auto tokenizer = Make(root);
  EXPECT_EQ(Encode(*tokenizer, "ABab"), (Ids{3, 3}));
  EXPECT_EQ(Encode(*tokenizer, "abbaabb"), (Ids{5, 3, 1}));
}

// Thousands of tokens that begin alike are looked for at once.
TEST(TokenizerParts, FindsOneOfManyAddedTokensQuickly) {
  Json root = Small({"<", "u", "n", "s", "e", "d", "a"});
  for (int i = 0; i < 6000; ++i)
    Add(&root, "<unused" + std::to_string(i) + ">", {{"special", true}});
  const auto tokenizer = Make(root);
  std::string text;
  while (text.size() < 200000) text += "<unused";
  const auto start = std::chrono::steady_clock::now();
  const Ids ids = Encode(*tokenizer, text + "<unused5999>");
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(1));
  EXPECT_EQ(ids.size(), text.size() + 1);
  EXPECT_EQ(ids.back(), 7 + 5999);
}

TEST(TokenizerParts, PutsASignBeforeWhatComesFromTheFirstCharacter) {
  const auto encode = [](const Json& normalizer, const std::string& text) {
    Json root = Small({"\u2581", "\"", "H", "e", "l", "o", "x", "\t", "a", "b", "`"});
    root["normalizer"] = normalizer;
    root["pre_tokenizer"] = {{"type", "Metaspace"},
                             {"replacement", "\u2581"},
                             {"prepend_scheme", "first"},
                             {"split", false}};
    return Encode(*Make(root), text);
  };
  const auto replace = [](const char* kind, const char* what, const char* content) {
    return Json{{"type", "Replace"}, {"pattern", {{kind, what}}}, {"content", content}};
  };
  const Json quotes = replace("String", "``", "\"");
  EXPECT_EQ(encode(quotes, "``Hello"), (Ids{1, 2, 3, 4, 4, 5}));
  EXPECT_EQ(encode(quotes, "`Hello"), (Ids{0, 10, 2, 3, 4, 4, 5}));
  EXPECT_EQ(encode(quotes, "a``"), (Ids{0, 8, 1}));
  const Json blanks = replace("Regex", " {2,}", "x");
  EXPECT_EQ(encode(blanks, "   Hello"), (Ids{6, 2, 3, 4, 4, 5}));
  EXPECT_EQ(encode(blanks, " Hello"), (Ids{0, 2, 3, 4, 4, 5}));
  EXPECT_EQ(encode(replace("Regex", "H", "xx"), "Hello"), (Ids{0, 6, 6, 3, 4, 4, 5}));
  EXPECT_EQ(encode(replace("String", "H", ""), "HHello"), (Ids{3, 4, 4, 5}));
  EXPECT_EQ(encode(replace("String", "He", ""), "HHello"), (Ids{0, 2, 4, 4, 5}));
  EXPECT_EQ(encode(replace("String", "\U0001f600", "xo"), "\U0001f600Hello"),
            (Ids{0, 6, 5, 2, 3, 4, 4, 5}));
  const auto strip = [](bool left, bool right) {
    return Json{{"type", "Strip"}, {"strip_left", left}, {"strip_right", right}};
  };
  EXPECT_EQ(encode(strip(false, true), "\tHello"), (Ids{0, 7, 2, 3, 4, 4, 5}));
  EXPECT_EQ(encode(strip(false, true), " \t"), Ids());
  EXPECT_EQ(encode(strip(true, true), "\tHello"), (Ids{2, 3, 4, 4, 5}));
  EXPECT_EQ(encode(strip(true, false), "a\t"), (Ids{0, 8, 7}));
}

TEST(TokenizerParts, ReplacesMatchesOfNothing) {
  Json root = Small({"a", "b"});
  root["normalizer"] = {{"type", "Replace"}, {"pattern", {{"Regex", "x*"}}}, {"content", "b"}};
  const auto tokenizer = Make(root);
  EXPECT_EQ(Encode(*tokenizer, "aa"), (Ids{1, 0, 1, 0, 1}));
  EXPECT_EQ(Encode(*tokenizer, ""), Ids());
}

// The second of two stages sees no space, and so not what comes first.
TEST(TokenizerParts, CutsNothingWhereALaterStageLooksAtTheStart) {
  for (const Json& stage :
       {Json{{"type", "WhitespaceSplit"}},
        Json{{"type", "Metaspace"}, {"replacement", "\u2581"}, {"prepend_scheme", "never"}}}) {
    Json root = Small({"\u2581", "a", "b"});
    root["pre_tokenizer"] = {
        {"type", "Sequence"},
        {"pretokenizers",
         {stage, {{"type", "Metaspace"}, {"replacement", "\u2581"}, {"prepend_scheme", "first"}}}}};
    const auto tokenizer = Make(root);
    EXPECT_EQ(tokenizer->CutPoint("a b a b a b"), 0u);
    EXPECT_EQ(Encode(*tokenizer, "a b a b"),
              stage["type"] == "Metaspace" ? (Ids{0, 1, 0, 2, 0, 1, 0, 2}) : (Ids{0, 1, 2, 1, 2}));
  }
}

TEST(TokenizerParts, SkipsTheVersionOfMerges) {
  Json root = Small({"a", "b", "ab"});
  root["model"]["merges"] = {"#version: 0.2", "a b"};
  EXPECT_EQ(Encode(*Make(root), "ab"), (Ids{2}));
}

TEST(TokenizerParts, DecodesBehindFuseAndOverHoles) {
  Json root = Small({"\u2581", "a", "b"});
  const Json replace = {{"type", "Replace"}, {"pattern", {{"String", "\u2581"}}}, {"content", " "}};
  const Json strip = {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}};
  const Json metaspace = {
      {"type", "Metaspace"}, {"replacement", "\u2581"}, {"prepend_scheme", "always"}};
  root["decoder"] = {
      {"type", "Sequence"},
      {"decoders", {{{"type", "ByteFallback"}}, {{"type", "Fuse"}}, replace, strip}}};
  auto tokenizer = Make(root);
  EXPECT_EQ(tokenizer->Decode({0, 1, 0, 2}), "a b");
  EXPECT_EQ(tokenizer->TokenBytes(0), " ");
  root["decoder"] = {{"type", "Sequence"}, {"decoders", {{{"type", "Fuse"}}, metaspace}}};
  EXPECT_EQ(Make(root)->TokenBytes(0), " ");
  // Id 1 is none, so the sign of id 2 comes first.
  root = Small({"a"});
  root["decoder"] = metaspace;
  root["model"]["vocab"] = {{"a", 0}, {"\u2581", 2}, {"b", 3}};
  tokenizer = Make(root);
  EXPECT_EQ(tokenizer->Decode({1, 2, 3}), "b");
  EXPECT_EQ(tokenizer->Decode({1}), "");
}

TEST(TokenizerParts, RefusesWhatTokenizersRefuses) {
  const auto refuse = [](const char* key, const Json& value, const std::string& part) {
    Json root = Small({"a"});
    root[key] = value;
    ExpectRefused(root, part);
  };
  for (const char* key : {"pre_tokenizer", "decoder"}) {
    Json part = {{"type", "Metaspace"}, {"replacement", "_"}, {"prepend_scheme", nullptr}};
    refuse(key, part, "Metaspace.prepend_scheme: expected \"first\"");
    part["add_prefix_space"] = false;
    part["prepend_scheme"] = "first";
    refuse(key, part, "expected prepend_scheme \"never\" beside add_prefix_space false");
    part.erase("prepend_scheme");
    refuse(key, part, "expected prepend_scheme \"never\" beside add_prefix_space false");
  }
  const Json split = {{"type", "Split"}, {"pattern", {{"String", "a"}}}, {"behavior", "Isolated"}};
  refuse("pre_tokenizer", split, "Split.invert: expected true or false, found null");
  refuse("pre_tokenizer", {{"type", "Digits"}}, "Digits.individual_digits: expected true");
  refuse("pre_tokenizer", {{"type", "ByteLevel"}}, "ByteLevel.add_prefix_space: expected true");
  refuse("normalizer", {{"type", "Strip"}, {"strip_left", true}}, "Strip.strip_right: expected");
  Json root = Small({"a"});
  root["normalizer"] = {{"type", "StripAccents"}};
  Add(&root, "\u0301", {{"normalized", true}});
  ExpectRefused(root, "a token that the normalizer leaves something of");
}

}  // namespace
}  // namespace tl
