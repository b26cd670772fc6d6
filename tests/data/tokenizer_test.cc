// SPDX-License-Identifier: Apache-2.0
#include "data/tokenizer.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <random>

#include "tests/data/temp_folder.h"
#include "tests/data/tokenizers.h"

namespace tl {
namespace {

TEST(Bytes, AreTheirOwnIds) {
  const auto t = MakeByteTokenizer();
  const std::string text("\0a\xff\xc3\xa9", 5);
  EXPECT_EQ(Encode(*t, text), (std::vector<int32_t>{0, 'a', 255, 0xc3, 0xa9}));
  EXPECT_EQ(t->Decode(Encode(*t, text)), text);
  EXPECT_EQ(t->Decode({-1, 65, 256, 1000}), "A");
  EXPECT_EQ(t->vocab_size(), 256);
  EXPECT_EQ(t->end_id(), -1);
  EXPECT_EQ(t->CutPoint(text), 5u);
  EXPECT_EQ(t->name(), "bytes");
}

// A model trained once on made-up text of a few hundred words.
const std::string& ModelPath() {
  static const std::string path = [] {
    std::mt19937 rng(1);
    std::vector<std::string> words;
    const std::string syllables[] = {"ba", "ne", "ti", "sho", "ru", "ka", "é", "12", "'s", "ing"};
    for (int i = 0; i < 300; ++i) {
      std::string word;
      for (unsigned n = 1 + rng() % 4; n > 0; --n) word += syllables[rng() % 10];
      words.push_back(word);
    }
    const std::string text = Folder() + "/train.txt";
    std::ofstream file(text);
    for (int line = 0; line < 2000; ++line) {
      for (int i = 0; i < 8; ++i) file << words[rng() % 300] << (i == 7 ? "\n" : " ");
    }
    file.close();
    const std::string out = Folder() + "/tokenizer.model";
    const absl::Status status = TrainSentencePiece({text}, 600, out);
    EXPECT_TRUE(status.ok()) << status;
    return out;
  }();
  return path;
}

TEST(SentencePiece, TrainsAndComesBack) {
  auto loaded = LoadTokenizer(ModelPath());
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  const Tokenizer& t = **loaded;
  EXPECT_EQ(t.kind(), TokenizerKind::kSentencePiece);
  EXPECT_EQ(t.vocab_size(), 600);
  EXPECT_GE(t.end_id(), 0);
  for (const std::string text :
       {"bane tisho ruka's", "  two  blanks and more   ", "\n", "a\n\n  b\r\n\tc\n", " ", "",
        "unseen: \u5b57 \U0001f600 \u00e9e\u0301 \u00a0 \u3000", "1234 12", "end \n"}) {
    EXPECT_EQ(t.Decode(Encode(t, text)), text);
  }
  EXPECT_LT(Encode(t, "baneti bane ingka").size(), 15u);
  EXPECT_EQ(t.Decode({600, -1, 1 << 30}), "");
  std::vector<int32_t> ids;
  EXPECT_EQ(std::string(t.Encode("ab\xff", &ids).message()), "not UTF-8 at byte 2");

  // From the folder that holds it, and from its own definition.
  auto folder = LoadTokenizer(Folder());
  ASSERT_TRUE(folder.ok()) << folder.status();
  EXPECT_EQ((*folder)->hash(), t.hash());
  auto again = LoadTokenizer(t.kind(), t.definition());
  ASSERT_TRUE(again.ok());
  EXPECT_EQ((*again)->name(), t.name());
  EXPECT_NE(t.hash(), MakeByteTokenizer()->hash());
}

// Decoding writes token by token: bytes of a character come one by one, spaces stay.
TEST(SentencePiece, TokensOneByOneMakeTheText) {
  auto loaded = LoadTokenizer(ModelPath());
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  const Tokenizer& t = **loaded;
  for (const std::string text :
       {"bane tisho ruka's", "  two  blanks and more   ", "a\n\n  b\r\n\tc\n",
        "unseen: \u5b57 \U0001f600 \u00e9e\u0301 \u00a0 \u3000"}) {
    std::string pieces;
    for (const int32_t id : Encode(t, text)) pieces += t.TokenBytes(id);
    EXPECT_EQ(pieces, text);
  }
  EXPECT_EQ(t.TokenBytes(t.end_id()), "");
  EXPECT_EQ(t.TokenBytes(-1), "");
  EXPECT_EQ(t.TokenBytes(600), "");
}

TEST(SentencePiece, DropsMergesAsTheSeedSays) {
  auto loaded = LoadTokenizer(ModelPath());
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  const Tokenizer& t = **loaded;
  std::string text;
  for (int i = 0; i < 100; ++i) text += "bane tisho ruka's \u00e9 \u5b57 12\n";
  const auto encode = [&](double dropout, uint64_t seed) {
    std::vector<int32_t> ids = {7};  // is added to
    EXPECT_TRUE(t.EncodeWithDropout(text, dropout, seed, &ids).ok());
    EXPECT_EQ(ids[0], 7);
    ids.erase(ids.begin());
    EXPECT_EQ(t.Decode(ids), text) << dropout;
    return ids;
  };
  EXPECT_EQ(encode(0.0, 1), Encode(t, text));
  const std::vector<int32_t> one = encode(0.3, 1);
  EXPECT_NE(encode(0.3, 2), one);
  EXPECT_EQ(encode(0.3, 1), one);  // whatever was drawn before
  EXPECT_NE(encode(0.3, (uint64_t{1} << 32) + 1), one);
  EXPECT_GT(one.size(), Encode(t, text).size());
  EXPECT_GT(encode(0.7, 1).size(), one.size());
  // Without merges: a line's 24 characters that the model has, and the 3 bytes of the one it lacks.
  EXPECT_EQ(encode(1.0, 1).size(), 100u * (24 + 3));
  std::vector<int32_t> ids;
  EXPECT_EQ(std::string(t.EncodeWithDropout("ab\xff", 0.5, 1, &ids).message()),
            "not UTF-8 at byte 2");
  EXPECT_EQ(std::string(MakeByteTokenizer()->EncodeWithDropout("ab", 0.5, 1, &ids).message()),
            "bpe-dropout: expected a SentencePiece BPE model, found bytes");
}

// The library's trainer leaves out lines of more than 4192 bytes, and aborts on words of more than
// 65535 characters.
TEST(SentencePiece, LearnsFromLongLines) {
  const std::string text = Folder() + "/long.txt", out = Folder() + "/long.model";
  std::ofstream file(text);
  for (int i = 0; i < 3000; ++i) file << (i % 2 == 0 ? "zanzibar " : "oklahoma ");
  file << "\nshort\n";
  for (int i = 0; i < 40000; ++i) file << "\u5b57\u0101x";
  file << "\n";
  file.close();
  const absl::Status status = TrainSentencePiece({text}, 300, out);
  ASSERT_TRUE(status.ok()) << status;
  auto loaded = LoadTokenizer(out);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_LE(Encode(**loaded, "zanzibar oklahoma").size(), 6u);
  EXPECT_LE(Encode(**loaded, "\u5b57\u0101x\u5b57\u0101x").size(), 6u);
}

TEST(SentencePiece, LearnsFromShortLines) {
  const std::string text = Folder() + "/short.txt", out = Folder() + "/short.model";
  std::ofstream file(text);
  for (int i = 0; i < 500; ++i) file << "ab" << i % 7 << "\n";
  file.close();
  const absl::Status status = TrainSentencePiece({text}, 268, out);
  EXPECT_TRUE(status.ok()) << status;
}

TEST(SentencePiece, CutsAfterLines) {
  auto loaded = LoadTokenizer(ModelPath());
  ASSERT_TRUE(loaded.ok());
  const Tokenizer& t = **loaded;
  const std::string text = "bane ti\n  shoru \n\n ka1";
  EXPECT_EQ(t.CutPoint(text), text.rfind('\n') + 1);
  EXPECT_EQ(t.CutPoint("bane ti"), 0u);
  for (size_t cut = 1; cut < text.size(); ++cut) {
    if (text[cut - 1] != '\n') continue;
    std::vector<int32_t> parts = Encode(t, text.substr(0, cut));
    const std::vector<int32_t> tail = Encode(t, text.substr(cut));
    parts.insert(parts.end(), tail.begin(), tail.end());
    EXPECT_EQ(parts, Encode(t, text));
  }
}

TEST(SentencePiece, ReportsWhatCannotBeTrained) {
  EXPECT_FALSE(TrainSentencePiece({Folder() + "/none.txt"}, 500, Folder() + "/x.model").ok());
  const std::string text = Folder() + "/short.txt";
  std::ofstream(text) << "too little text\n";
  const absl::Status status = TrainSentencePiece({text}, 5000, Folder() + "/x.model");
  EXPECT_NE(std::string(status.message()).find("5000 pieces"), std::string::npos) << status;
  EXPECT_FALSE(TrainSentencePiece({text}, 300, Folder() + "/no/such/x.model").ok());
  EXPECT_FALSE(std::filesystem::exists(Folder() + "/x.model"));
}

TEST(LoadTokenizer, NamesTheFile) {
  const auto message = [](const std::string& path) {
    const auto t = LoadTokenizer(path);
    EXPECT_FALSE(t.ok());
    return std::string(t.status().message());
  };
  EXPECT_NE(message(Folder() + "/none").find("none: cannot open the tokenizer"), std::string::npos);
  const std::string empty = Folder() + "/empty";
  std::filesystem::create_directories(empty);
  EXPECT_NE(message(empty).find("expected tokenizer.json or tokenizer.model"), std::string::npos);
  std::ofstream(empty + "/a") << "neither";
  EXPECT_NE(message(empty + "/a").find("a: not a SentencePiece model"), std::string::npos);
  std::ofstream(empty + "/b.json") << "[1, 2]";
  EXPECT_NE(message(empty + "/b.json").find("b.json: not a tokenizer.json"), std::string::npos);
  EXPECT_FALSE(LoadTokenizer(TokenizerKind::kNone, "").ok());
  EXPECT_FALSE(LoadTokenizer(static_cast<TokenizerKind>(77), "").ok());
}

// As folders of Llama 2 and Mistral are, and those exported with a SentencePiece model.
TEST(LoadTokenizer, TakesTheModelWhoseJsonIsItAgain) {
  const std::string both = Folder() + "/both";
  std::filesystem::create_directories(both);
  std::filesystem::copy_file(ModelPath(), both + "/tokenizer.model");
  const auto load = [&](const std::string& json) {
    std::ofstream(both + "/tokenizer.json", std::ios::trunc) << json;
    return LoadTokenizer(both);
  };
  for (const char* json : {R"({"model": {"type": "Unigram"}})",
                           R"({"model": {"type": "BPE", "byte_fallback": true},
            "added_tokens": [{"id": 0, "content": "<unk>"}, {"id": 2, "content": "</s>"}]})"}) {
    auto loaded = load(json);
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    EXPECT_EQ((*loaded)->hash(), (*LoadTokenizer(ModelPath()))->hash());
  }
  // Others are refused for what is in them, not taken for the model.
  for (const char* json :
       {R"({"model": {"type": "BPE", "byte_fallback": true},
            "added_tokens": [{"id": 600, "content": "<|im_start|>"}]})",
        R"({"model": {"type": "BPE", "byte_fallback": true},
            "added_tokens": [{"id": 7, "content": "<|im_start|>"}]})",
        R"({"model": {"type": "WordPiece"}})", R"({"model": {"type": "BPE"}})", "{", "[]"}) {
    const absl::Status status = load(json).status();
    EXPECT_NE(std::string(status.message()).find("both/tokenizer.json: "), std::string::npos)
        << status;
    EXPECT_NE(std::string(status.message()).find("not the same tokenizer"), std::string::npos);
  }
}

TEST(SentencePiece, SurvivesDamagedModels) {
  std::ifstream file(ModelPath(), std::ios::binary);
  const std::string good{std::istreambuf_iterator<char>(file), {}};
  std::mt19937 rng(4);
  for (int trial = 0; trial < 50; ++trial) {
    std::string bad = good.substr(0, rng() % good.size());
    const auto t = MakeSentencePieceTokenizer(bad);
    EXPECT_TRUE(!t.ok() || (*t)->vocab_size() > 0);
  }
}

}  // namespace
}  // namespace tl
