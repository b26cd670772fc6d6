// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>
#include <random>

#include "data/bpe_merge.h"
#include "data/bpe_pattern.h"
#include "data/bpe_split.h"
#include "data/tokenizer.h"
#include "tests/data/file_bytes.h"
#include "tests/data/tokenizers.h"

namespace tl {
namespace {

const std::string kGoldenFolder = TL_SOURCE_DIR "/tests/data/golden/";
const std::vector<std::string> kNames = {"gpt2",  "llama3", "llama3-ignore-merges",
                                         "qwen2", "digits", "gpt2-prefix"};

std::unique_ptr<Tokenizer> LoadGolden(const std::string& name) {
  return LoadFile(kGoldenFolder + name + ".json");
}

// The ids that PyPI's tokenizers gives, written by tests/peers/tokenizers_check.py --golden.
TEST(Bpe, EqualsTokenizers) {
  for (const std::string& name : kNames) {
    SCOPED_TRACE(name);
    const auto tokenizer = LoadGolden(name);
    ASSERT_NE(tokenizer, nullptr);
    const Json cases = Json::parse(Read(kGoldenFolder + name + ".ids.json"));
    ASSERT_GT(cases.size(), 30u);
    for (const Json& c : cases) {
      const auto text = c["text"].get<std::string>();
      EXPECT_EQ(Encode(*tokenizer, text), c["ids"].get<std::vector<int32_t>>()) << text;
    }
  }
}

TEST(Bpe, DecodesWhatItEncoded) {
  for (const std::string name : {"gpt2", "llama3", "llama3-ignore-merges"}) {
    const auto tokenizer = LoadGolden(name);
    for (const Json& c : Json::parse(Read(kGoldenFolder + name + ".ids.json"))) {
      const auto text = c["text"].get<std::string>();
      EXPECT_EQ(tokenizer->Decode(Encode(*tokenizer, text)), text);
    }
  }
  const auto tokenizer = LoadGolden("gpt2");
  EXPECT_EQ(tokenizer->vocab_size(), 400);
  EXPECT_EQ(tokenizer->end_id(), 0);
  EXPECT_EQ(tokenizer->Decode({0, 400, -1, 1 << 20}), "<|endoftext|>");
  EXPECT_EQ(LoadGolden("digits")->vocab_size(), 403);
}

TEST(Bpe, RefusesTextThatIsNotUtf8) {
  const auto tokenizer = LoadGolden("gpt2");
  std::vector<int32_t> ids;
  for (const std::string bad : {"abc\xff", "abc\xc3", "abc\xed\xa0\x80", "abc\xc0\xaf",
                                "abc\xf4\x90\x80\x80", "abc\xe2\x82"}) {
    EXPECT_EQ(std::string(tokenizer->Encode(bad, &ids).message()), "not UTF-8 at byte 3");
  }
}

// Whatever follows, the text before a cut and the text after it are encoded by themselves.
TEST(Bpe, CutsWhereNothingChanges) {
  std::mt19937 rng(3);
  const std::vector<std::string> alphabet = {
      "a",       "Zo",     "e",       " ",      " ",      "\n",         "\r\n",
      "'s",      "'",      "1",       "23",     ",",      "...",        "<|endoftext|>",
      "<|endof", "\u0301", "e\u0301", "\u00e9", "\u5b57", "\U0001f600", "\u00a0",
      "\t",      "  "};
  for (const std::string& name : kNames) {
    SCOPED_TRACE(name);
    const auto tokenizer = LoadGolden(name);
    int cuts = 0;
    for (int trial = 0; trial < 200; ++trial) {
      std::string text, more;
      for (int i = 0; i < 60; ++i) text += alphabet[rng() % alphabet.size()];
      for (int i = 0; i < 10; ++i) more += alphabet[rng() % alphabet.size()];
      // What is in hand may end inside a character.
      const size_t in_hand = text.size() - rng() % 3;
      const size_t cut = tokenizer->CutPoint(absl::string_view(text).substr(0, in_hand));
      ASSERT_LE(cut, in_hand);
      cuts += cut > 0;
      std::vector<int32_t> parts = Encode(*tokenizer, text.substr(0, cut));
      const std::vector<int32_t> tail = Encode(*tokenizer, text.substr(cut) + more);
      parts.insert(parts.end(), tail.begin(), tail.end());
      ASSERT_EQ(parts, Encode(*tokenizer, text + more)) << text << "|" << more << " at " << cut;
    }
    // The added tokens of one look at what is beside them.
    EXPECT_GT(cuts, name == "digits" ? -1 : 100);
  }
}

TEST(Bpe, MergesLongWordsLikeShortOnes) {
  internal::BpeMerger merger;
  merger.AddMerge('a', 'a', 300);
  merger.AddMerge(300, 300, 301);
  merger.AddMerge('b', 'a', 302);
  merger.AddMerge(302, 'b', 303);
  merger.AddMerge(301, 303, 304);
  const auto merge = [&](const std::string& word, std::vector<int32_t>* ids) {
    std::vector<int32_t> symbols(word.begin(), word.end());
    merger.Merge(absl::MakeSpan(symbols), ids);
  };
  std::mt19937 rng(1);
  for (int trial = 0; trial < 200; ++trial) {
    // A byte in no pair ends what merges can reach, so the parts tell the whole.
    std::vector<int32_t> expected, found;
    std::string word;
    for (int part = 0; part < 5; ++part) {
      std::string piece;
      for (size_t i = 0; i < 20; ++i) piece += "ab"[rng() % 4 == 0];
      piece += '.';
      merge(piece, &expected);
      word += piece;
    }
    merge(word, &found);
    ASSERT_EQ(found, expected) << word;
  }
}

void ExpectRefused(const std::function<void(Json*)>& change, const std::string& part) {
  Json root = Json::parse(Read(kGoldenFolder + "llama3.json"));
  change(&root);
  const auto tokenizer = MakeJsonTokenizer(root.dump());
  ASSERT_FALSE(tokenizer.ok()) << part;
  EXPECT_NE(std::string(tokenizer.status().message()).find(part), std::string::npos)
      << tokenizer.status() << "\nlacks " << part;
}

TEST(Bpe, RefusesByNameWhatItCannotDo) {
  ExpectRefused([](Json* j) { (*j)["model"]["type"] = "WordPiece"; }, "model type 'WordPiece'");
  ExpectRefused([](Json* j) { (*j)["model"]["dropout"] = 0.1; }, "model.dropout 0.1");
  ExpectRefused([](Json* j) { (*j)["model"]["end_of_word_suffix"] = "</w>"; }, "</w>");
  ExpectRefused([](Json* j) { (*j)["model"]["vocab"] = Json::array(); }, "model.vocab");
  ExpectRefused([](Json* j) { (*j)["model"]["vocab"]["x"] = "7"; }, "model.vocab['x']");
  ExpectRefused([](Json* j) { (*j)["model"]["vocab"]["x"] = -7; }, "expected an id, found -7");
  ExpectRefused([](Json* j) { (*j)["model"]["merges"] = 3; }, "model.merges");
  ExpectRefused([](Json* j) { (*j)["model"]["merges"].push_back("ab"); }, "found \"ab\"");
  ExpectRefused([](Json* j) { (*j)["model"]["merges"].push_back({"qq", "zz"}); },
                "[\"qq\",\"zz\"]");
  ExpectRefused([](Json* j) { (*j)["decoder"] = {{"type", "WordPiece"}}; }, "decoder");
  ExpectRefused([](Json* j) { (*j)["added_tokens"][0].erase("id"); }, "added_tokens");
  const auto pattern = [](const std::string& regex) {
    return
        [regex](Json* j) { (*j)["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = regex; };
  };
  ExpectRefused(pattern("\\p{N}{1,3}+"), "a + after {n,m}");
  ExpectRefused(pattern("^a"), "an anchor ^");
  ExpectRefused(pattern("a$"), "an anchor $");
  ExpectRefused(pattern("\\h+"), "\\h is not supported");
  ExpectRefused(pattern("[a[bc]]"), "a class within a class");
  ExpectRefused(pattern("[a-z&&[^aeiou]]"), "&&");
  ExpectRefused(pattern("(?m:a)"), "(?m:");
  ExpectRefused(pattern("\\pL+"), "\\p without {}");
  ExpectRefused(pattern("\\p{Alphabetic}"), "\\p{Alphabetic} is not supported");
  ExpectRefused(pattern("\\P{Han"), "\\P without {}");
  ExpectRefused(pattern("a{2}?"), "{n}? is not supported");
  ExpectRefused(pattern("a{,2}"), "{,n} is not supported");
  ExpectRefused(pattern("a{1, 2}"), "{1, 2} is not supported");
  // Each matches one character, too, whose case folding these letters are.
  ExpectRefused(pattern("(?i:mass)"), "ss in (?i: is not supported");
  ExpectRefused(pattern("(?i:'s|(?:s(?:T)))"), "st in (?i: is not supported");
  ExpectRefused(pattern("(?i:a|f(?:L))"), "fl in (?i: is not supported");
  ExpectRefused(pattern("(?i:\u00df)"), "a character beyond ASCII in (?i:");
  ExpectRefused([](Json* j) { (*j)["model"]["merges"][0] = "a b c"; }, "found \"a b c\"");
  ExpectRefused(pattern("(ab"), "missing closing parenthesis");
  for (const std::string bad :
       {"", "{", "[]", "{}", "{\"model\":3}", "{\"model\":{\"type\":\"BPE\"}}"}) {
    EXPECT_FALSE(MakeJsonTokenizer(bad).ok()) << bad;
  }
}

TEST(Bpe, TranslatesPatterns) {
  const auto translated = internal::TranslatePattern(R"([^\s\p{L}]++[\r\n]*|\d|\S\.|(?!\s))");
  ASSERT_TRUE(translated.ok());
  EXPECT_EQ(*translated,
            R"([^\p{White_Space}\p{L}]++[\r\n]*|\p{Nd}|\P{White_Space}\.|(?!\p{White_Space}))");
}

TEST(Bpe, TranslatesProperties) {
  const auto translated = internal::TranslatePattern(
      R"([\p{Han}\P{^hiragana}]|\p{l}+|\p{^Lu}|(?i:'s|'t)ss|x{1,2}?y{,})");
  ASSERT_TRUE(translated.ok()) << translated.status();
  EXPECT_EQ(*translated, R"([\p{sc:Han}\P{^sc:hiragana}]|\p{L}+|\p{^Lu}|(?i:'s|'t)ss|x{1,2}?y{,})");
}

// \p{Han} is a script, of which characters that several scripts share are no part.
TEST(Bpe, SplitsByScriptsAsTokenizers) {
  const auto words = [](const std::string& regex, const std::string& text) {
    const auto stage =
        internal::SplitStage::Make(regex, false, internal::SplitStage::Behavior::kIsolated);
    std::vector<absl::string_view> found;
    EXPECT_TRUE(stage.ok()) << stage.status();
    EXPECT_TRUE(stage->Split(text, &found).ok());
    return std::vector<std::string>(found.begin(), found.end());
  };
  using Words = std::vector<std::string>;
  EXPECT_EQ(words("\\p{Han}+|x", "\u30fc\u6f22\u30fcx"),
            (Words{"\u30fc", "\u6f22", "\u30fc", "x"}));
  EXPECT_EQ(words("\\p{Hiragana}+", "\u3042\u30fc\u3042"), (Words{"\u3042", "\u30fc", "\u3042"}));
  EXPECT_EQ(words("[\\p{Arabic}x]+", "\u0627\u060cx"), (Words{"\u0627", "\u060c", "x"}));
}

// The matches of a long word need more stack than PCRE2's JIT has.
TEST(Bpe, MatchesLongWords) {
  std::string text;
  while (text.size() < 12000) text += "abc";
  const auto stage = internal::SplitStage::Make("(?:\\p{L}\\p{M}*)+", false,
                                                internal::SplitStage::Behavior::kIsolated);
  ASSERT_TRUE(stage.ok()) << stage.status();
  std::vector<absl::string_view> words;
  const std::string longer = text + " x";
  const absl::Status status = stage->Split(longer, &words);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(words, (std::vector<absl::string_view>{text, " ", "x"}));
  EXPECT_EQ(stage->LastBoundary(longer, longer.size() - 1), text.size());
}

// Every prefix of a definition is refused or, where it happens to be whole, works.
TEST(Bpe, SurvivesDamagedDefinitions) {
  const std::string good = Read(kGoldenFolder + "gpt2.json");
  std::mt19937 rng(2);
  for (size_t n = 0; n < good.size(); n += 101)
    EXPECT_FALSE(MakeJsonTokenizer(good.substr(0, n)).ok());
  for (int trial = 0; trial < 300; ++trial) {
    std::string bad = good;
    bad[rng() % bad.size()] = static_cast<char>(rng());
    const auto tokenizer = MakeJsonTokenizer(bad);
    std::vector<int32_t> ids;
    if (!tokenizer.ok()) continue;
    EXPECT_TRUE((*tokenizer)->Encode("In the beginning", &ids).ok());
  }
}

}  // namespace
}  // namespace tl
