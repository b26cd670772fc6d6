// SPDX-License-Identifier: Apache-2.0
// tokenizer.json files of SentencePiece's kinds, and byte-level ones that lack bytes. The files are
// the seeds of tests/fuzz/tokenizer_json_fuzz.cc; what is expected is PyPI's tokenizers', written
// by tests/peers/json_tokenizers_check.py --golden.
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <nlohmann/json.hpp>
#include <random>

#include "data/bpe_split.h"
#include "data/byte_trie.h"
#include "data/tokenizer.h"
#include "tests/data/file_bytes.h"
#include "tests/data/tokenizers.h"

namespace tl {
namespace {

const std::string kSeeds = TL_SOURCE_DIR "/tests/fuzz/tokenizer_json/";

const Json& GoldenIds() {
  static const Json golden =
      Json::parse(Read(TL_SOURCE_DIR "/tests/data/golden/json_tokenizers.ids.json"));
  return golden;
}

std::unique_ptr<Tokenizer> LoadSeed(const std::string& name) {
  return LoadFile(kSeeds + name + ".json");
}

// Whether decoded text may end inside a character, where tokenizers has U+FFFD.
bool IsByteLevel(const std::string& name) { return name.substr(0, 10) == "incomplete"; }

TEST(JsonTokenizer, EqualsTokenizers) {
  const auto texts = GoldenIds()["texts"].get<std::vector<std::string>>();
  ASSERT_EQ(GoldenIds()["kinds"].size(), 15u);
  for (const auto& [name, expected] : GoldenIds()["kinds"].items()) {
    SCOPED_TRACE(name);
    const auto tokenizer = LoadSeed(name);
    for (size_t i = 0; i < texts.size(); ++i) {
      const auto ids = Encode(*tokenizer, texts[i]);
      EXPECT_EQ(ids, expected["ids"][i].get<std::vector<int32_t>>()) << texts[i];
      const std::string back = expected["back"][i];
      if (!IsByteLevel(name) || back.find("\uFFFD") == std::string::npos) {
        EXPECT_EQ(tokenizer->Decode(ids), back) << texts[i];
      }
    }
  }
}

// Whatever follows, the text before a cut and the text after it are encoded by themselves.
TEST(JsonTokenizer, CutsWhereNothingChanges) {
  const std::vector<std::string> alphabet = {
      "a",      "the",    " word", "word", " ",      " ",       "\n",     "\r\n",
      ",",      "12",     "<s>",   "</s",  "\u0301", "e\u0301", "\u5b57", "\U0001f600",
      "\u00a8", "\u2581", "  ",    "\t",   "\u0600", "x"};
  for (const auto& [name, unused] : GoldenIds()["kinds"].items()) {
    SCOPED_TRACE(name);
    const auto tokenizer = LoadSeed(name);
    std::mt19937 rng(3);
    int cuts = 0;
    for (int trial = 0; trial < 100; ++trial) {
      std::string text, more;
      for (int i = 0; i < 60; ++i) text += alphabet[rng() % alphabet.size()];
      for (int i = 0; i < 10; ++i) more += alphabet[rng() % alphabet.size()];
      const size_t in_hand = text.size() - rng() % 3;
      const size_t cut = tokenizer->CutPoint(absl::string_view(text).substr(0, in_hand));
      ASSERT_LE(cut, in_hand);
      cuts += cut > 0;
      std::vector<int32_t> parts = Encode(*tokenizer, text.substr(0, cut));
      const std::vector<int32_t> tail = Encode(*tokenizer, text.substr(cut) + more);
      parts.insert(parts.end(), tail.begin(), tail.end());
      ASSERT_EQ(parts, Encode(*tokenizer, text + more)) << text << "|" << more << " at " << cut;
    }
    // Big files of the common kinds can be read in pieces.
    if (name == "gemma" || name == "metaspace" || name == "first" || IsByteLevel(name)) {
      EXPECT_GT(cuts, 50);
    }
  }
}

TEST(JsonTokenizer, TellsWhatOneTokenStandsFor) {
  const auto tokenizer = LoadSeed("llama");
  const Json vocab = Json::parse(Read(kSeeds + "llama.json"))["model"]["vocab"];
  EXPECT_EQ(tokenizer->TokenBytes(vocab["<0xE5>"]), "\xE5");
  EXPECT_EQ(tokenizer->TokenBytes(vocab["\u2581word"]), " word");
  EXPECT_EQ(tokenizer->TokenBytes(-1), "");
  EXPECT_EQ(tokenizer->TokenBytes(static_cast<int32_t>(tokenizer->vocab_size())), "");
  // In a row the bytes are a character, or each one that is none.
  EXPECT_EQ(tokenizer->Decode({vocab["<0xC3>"], vocab["<0xA9>"]}), "\u00e9");
  EXPECT_EQ(tokenizer->Decode({vocab["<0xC3>"], vocab["a"]}), "\uFFFDa");
  EXPECT_EQ(tokenizer->end_id(), vocab["</s>"].get<int32_t>());
}

TEST(JsonTokenizer, TellsOfBytesThatItLacks) {
  EXPECT_EQ(LoadSeed("llama")->note(), "");
  EXPECT_EQ(LoadSeed("incomplete")->note(),
            "the vocabulary lacks 21 of the 256 bytes (0, 6, 11, 14, …): in text they become "
            "nothing, and what is beside them may merge, as in tokenizers");
  EXPECT_NE(LoadSeed("incomplete-unk")->note().find("they become '<unk>'"), std::string::npos);
  // The neighbours of a dropped byte are neighbours.
  const auto tokenizer = LoadSeed("incomplete");
  EXPECT_EQ(Encode(*tokenizer, std::string(",\0.", 3)), Encode(*tokenizer, ",."));
}

// Twice the text takes about twice the time, though nothing in it parts words.
TEST(JsonTokenizer, IsNotQuadratic) {
  for (const std::string name : {"llama", "unigram-whole"}) {
    const auto tokenizer = LoadSeed(name);
    const auto seconds = [&](size_t bytes) {
      std::mt19937 rng(1);
      std::string text;
      while (text.size() < bytes) text += "thewordisandof"[rng() % 14];
      const auto start = std::chrono::steady_clock::now();
      EXPECT_GT(Encode(*tokenizer, text).size(), bytes / 8);
      return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    };
    const double once = seconds(100000);
    EXPECT_LT(seconds(800000), 30 * once + 0.5) << name;  // 64 times, were it quadratic
  }
}

void ExpectRefused(const std::string& name, const std::function<void(Json*)>& change,
                   const std::string& part) {
  Json root = Json::parse(Read(kSeeds + name + ".json"));
  change(&root);
  const auto tokenizer = MakeJsonTokenizer(root.dump());
  ASSERT_FALSE(tokenizer.ok()) << part;
  EXPECT_NE(std::string(tokenizer.status().message()).find(part), std::string::npos)
      << tokenizer.status() << "\nlacks " << part;
}

TEST(JsonTokenizer, RefusesByNameWhatItCannotDo) {
  const auto refuse = [](const std::string& name, const char* key, const Json& value,
                         const std::string& part) {
    ExpectRefused(name, [&](Json* j) { (*j)[key] = value; }, part);
  };
  refuse("llama", "normalizer", {{"type", "BertNormalizer"}}, "normalizer {\"type\":\"BertNorm");
  refuse("llama", "normalizer", {{"type", "Prepend"}}, "Prepend.prepend: expected a string");
  refuse("llama", "normalizer", {{"type", "Precompiled"}, {"precompiled_charsmap", "?"}},
         "Precompiled.precompiled_charsmap: expected base64");
  refuse("llama", "normalizer", {{"type", "Precompiled"}, {"precompiled_charsmap", "/////w=="}},
         "expected a trie of 4294967292 bytes, found 0");
  refuse("llama", "pre_tokenizer", {{"type", "BertPreTokenizer"}}, "BertPreTokenizer");
  refuse("llama", "pre_tokenizer", {{"type", "Metaspace"}, {"replacement", "ab"}},
         "Metaspace.replacement: expected one character");
  refuse("llama", "pre_tokenizer",
         {{"type", "Metaspace"}, {"replacement", "_"}, {"prepend_scheme", "last"}},
         "Metaspace.prepend_scheme");
  refuse("llama", "pre_tokenizer",
         {{"type", "Split"}, {"pattern", {{"String", "a"}}}, {"behavior", "Odd"}}, "\"Odd\"");
  refuse("t5", "pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", true}},
         "model type 'Unigram' behind");
  refuse("llama", "decoder", nullptr, "decoder null");
  refuse("llama", "decoder", {{"type", "CTC"}}, "CTC");
  refuse("llama", "decoder", {{"type", "Strip"}, {"content", " "}, {"start", -1}}, "Strip.start");
  const auto model = [](const std::string& name, const char* key, const Json& value,
                        const std::string& part) {
    ExpectRefused(name, [&](Json* j) { (*j)["model"][key] = value; }, part);
  };
  model("t5", "vocab", Json::array({Json::array({"a"})}),
        "model.vocab: expected [token, score], found [\"a\"]");
  model("t5", "vocab", Json::object(), "model.vocab: expected an array");
  model("t5", "unk_id", 100000, "model.unk_id");
  model("t5", "type", "WordLevel", "model type 'WordLevel'");
  ExpectRefused(
      "llama", [](Json* j) { (*j)["added_tokens"][1]["id"] = 77; },
      "expected id 1, which tokenizers gives this token");
}

// Where no token is for what the model does not know, the text is refused.
TEST(JsonTokenizer, RefusesTextWithoutTokens) {
  Json root = Json::parse(Read(kSeeds + "t5.json"));
  root["model"]["unk_id"] = nullptr;
  std::vector<int32_t> ids;
  absl::Status status = MakeJsonTokenizer(root.dump()).value()->Encode("the \u6f22", &ids);
  EXPECT_NE(std::string(status.message()).find("'\u6f22', which no token stands for"),
            std::string::npos)
      << status;
  root = Json::parse(Read(kSeeds + "unknowns.json"));
  root["model"]["unk_token"] = "nowhere";
  status = MakeJsonTokenizer(root.dump()).value()->Encode("the \u6f22", &ids);
  EXPECT_NE(std::string(status.message()).find("found 'nowhere'"), std::string::npos) << status;
}

TEST(SplitStage, DoesWithMatchesWhatItsBehaviorSays) {
  using Behavior = internal::SplitStage::Behavior;
  const auto split = [](Behavior behavior, bool invert, const std::string& text) {
    const auto stage = internal::SplitStage::Make("-", true, behavior, invert);
    std::vector<absl::string_view> words;
    EXPECT_TRUE(stage->Split(text, &words).ok());
    std::string joined;
    for (absl::string_view word : words) joined += std::string(word) + "|";
    return joined;
  };
  EXPECT_EQ(split(Behavior::kIsolated, false, "-a--b"), "-|a|-|-|b|");
  EXPECT_EQ(split(Behavior::kRemoved, false, "-a--b"), "a|b|");
  EXPECT_EQ(split(Behavior::kRemoved, true, "-a--b"), "-|-|-|");
  EXPECT_EQ(split(Behavior::kMergedWithPrevious, false, "-a--b"), "-|a-|-|b|");
  EXPECT_EQ(split(Behavior::kMergedWithNext, false, "-a--b"), "-a|-|-b|");
  EXPECT_EQ(split(Behavior::kContiguous, false, "-a--b"), "-|a|--|b|");
  EXPECT_EQ(split(Behavior::kMergedWithNext, true, "-a--b"), "-|a-|-|b|");
}

TEST(ByteTrie, FindsEveryPrefix) {
  const internal::ByteTrie trie({{"a", 1}, {"ab", 2}, {"abcd", 3}, {"b", 4}});
  std::vector<std::pair<size_t, int32_t>> found;
  trie.ForEachPrefix("abcde", [&](size_t n, int32_t id) { found.push_back({n, id}); });
  EXPECT_EQ(found, (std::vector<std::pair<size_t, int32_t>>{{1, 1}, {2, 2}, {4, 3}}));
  trie.ForEachPrefix("c", [&](size_t, int32_t) { ADD_FAILURE(); });
}

}  // namespace
}  // namespace tl
