// SPDX-License-Identifier: Apache-2.0
#include "data/tokenize.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <random>

#include "data/token_file.h"
#include "data/tokenizer.h"
#include "tests/data/temp_folder.h"

namespace tl {
namespace {

std::string MakeText(const std::string& name, const std::string& bytes) {
  const std::string path = Folder() + "/" + name;
  std::filesystem::remove(path);
  std::ofstream(path, std::ios::binary) << bytes;
  return path;
}

struct Result {
  std::vector<int32_t> tokens;
  std::vector<int64_t> starts;
  int64_t text_bytes;
};

Result ReadBack(const std::string& path) {
  auto file = TokenFile::Open(path);
  EXPECT_TRUE(file.ok()) << file.status();
  if (!file.ok()) return {};
  EXPECT_TRUE((*file)->Verify().ok());
  Result r;
  r.tokens.resize((*file)->token_count());
  EXPECT_TRUE((*file)->ReadTokens(0, (*file)->token_count(), 1 << 24, r.tokens.data()).ok());
  r.starts.resize((*file)->document_count());
  EXPECT_TRUE((*file)->DocumentStarts(0, (*file)->document_count(), r.starts.data()).ok());
  r.text_bytes = (*file)->text_bytes();
  return r;
}

std::string TextOf(const Result& r) { return MakeByteTokenizer()->Decode(r.tokens); }

TEST(Tokenize, MakesADocumentOfEachFile) {
  const std::string a = MakeText("a.txt", "first\ntext"), b = MakeText("b.txt", "second\xff\n");
  const std::string empty = MakeText("empty.txt", "");
  TokenizeReport report;
  const std::string out = Folder() + "/files.tok";
  ASSERT_TRUE(TokenizeFiles({.texts = {a, empty, b}, .out = out}, &report).ok());
  const Result r = ReadBack(out);
  EXPECT_EQ(TextOf(r), "first\ntextsecond\xff\n");
  EXPECT_EQ(r.starts, (std::vector<int64_t>{0, 10}));
  EXPECT_EQ(report.tokens, 18);
  EXPECT_EQ(report.documents, 2);
  EXPECT_EQ(report.text_bytes, 18);
  EXPECT_EQ(report.vocab_size, 256);
  EXPECT_EQ(report.tokenizer_name, "bytes");
  auto file = TokenFile::Open(out);
  EXPECT_TRUE((*file)->MakeTokenizer().ok());
}

TEST(Tokenize, SplitsAtSeparators) {
  const std::string text = MakeText("s.txt", "<s>one<s><s>two<s>three<");
  const std::string out = Folder() + "/separated.tok";
  ASSERT_TRUE(TokenizeFiles({.texts = {text}, .out = out, .separator = "<s>"}).ok());
  Result r = ReadBack(out);
  EXPECT_EQ(TextOf(r), "onetwothree<");
  EXPECT_EQ(r.starts, (std::vector<int64_t>{0, 3, 6}));
  EXPECT_EQ(r.text_bytes, 12);

  // Over many chunks of reading, with separators across their edges.
  std::string big;
  std::vector<int64_t> starts;
  int64_t kept = 0;
  std::mt19937 rng(1);
  while (big.size() < (3u << 20) + 12345) {
    const size_t n = 1 + rng() % 200;
    starts.push_back(kept);
    kept += static_cast<int64_t>(n);
    big += std::string(n, static_cast<char>('a' + rng() % 26)) + "<<>>";
  }
  ASSERT_TRUE(
      TokenizeFiles({.texts = {MakeText("big.txt", big)}, .out = out, .separator = "<<>>"}).ok());
  r = ReadBack(out);
  EXPECT_EQ(r.starts, starts);
  EXPECT_EQ(static_cast<int64_t>(r.tokens.size()), kept);
  EXPECT_EQ(r.text_bytes, kept);
}

TEST(Tokenize, CountsSeparators) {
  const std::string text = MakeText("count.txt", "one\x1etwo\x1ethree");
  TokenizeReport report;
  const std::string out = Folder() + "/counted.tok";
  ASSERT_TRUE(TokenizeFiles({.texts = {text}, .out = out, .separator = "\x1e"}, &report).ok());
  EXPECT_EQ(report.separators, 2);
  ASSERT_TRUE(TokenizeFiles({.texts = {text}, .out = out, .separator = "\\x1e"}, &report).ok());
  EXPECT_EQ(report.separators, 0);
}

// Nothing that is read is written over, nor anything but a token file.
TEST(Tokenize, RefusesWhatItMustNotReplace) {
  const std::string text = MakeText("input.txt", "some text\n"), other = MakeText("other.txt", "x");
  const std::string link = Folder() + "/link.tok", hard = Folder() + "/hard.tok";
  const std::string fifo = Folder() + "/fifo.tok", folder = Folder() + "/folder.tok";
  std::filesystem::create_symlink(text, link);
  std::filesystem::create_hard_link(text, hard);
  std::filesystem::create_directory(folder);
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  for (const std::string& out : {text, other, link, hard, fifo, folder, std::string("/dev/null")}) {
    const absl::Status status = TokenizeFiles({.texts = {text}, .out = out});
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << out << ": " << status;
    EXPECT_NE(status.message().find(out + ": expected a new name"), std::string::npos) << status;
    EXPECT_TRUE(absl::IsFailedPrecondition(TokenizeFiles(
        {.texts = {text}, .out = Folder() + "/fresh.tok", .holdout = 0.5, .holdout_out = out})))
        << out;
  }
  EXPECT_FALSE(std::filesystem::exists(Folder() + "/fresh.tok"));
  for (const char* bytes : {"{}", "\nnotes\n", ""}) {
    const std::string there = MakeText("there.model", bytes);
    EXPECT_TRUE(absl::IsFailedPrecondition(TokenizeFiles(
        {.tokenizer = there, .train_vocab = 300, .texts = {text}, .out = Folder() + "/fresh.tok"})))
        << bytes;
  }
  EXPECT_TRUE(absl::IsInvalidArgument(TokenizeFiles({.tokenizer = Folder() + "/./fresh.tok",
                                                     .train_vocab = 300,
                                                     .texts = {text},
                                                     .out = Folder() + "/fresh.tok"})));
  std::ifstream read(text);
  std::string line;
  std::getline(read, line);
  EXPECT_EQ(line, "some text");
}

TEST(Tokenize, HoldsOutTheLastLines) {
  const std::string a = MakeText("ha.txt", "0123456\n89\n");
  const std::string b = MakeText("hb.txt", "bcdef\nhijklm\nopq\n");
  const std::string out = Folder() + "/train.tok", held = Folder() + "/held.tok";
  const auto run = [&](std::vector<std::string> texts, double fraction) {
    TokenizeReport report, held_report;
    const absl::Status status = TokenizeFiles(
        {.texts = std::move(texts), .out = out, .holdout = fraction, .holdout_out = held}, &report,
        &held_report);
    EXPECT_TRUE(status.ok()) << status;
    const Result x = ReadBack(out), y = ReadBack(held);
    EXPECT_EQ(report.tokens, static_cast<int64_t>(x.tokens.size()));
    EXPECT_EQ(held_report.tokens, static_cast<int64_t>(y.tokens.size()));
    return TextOf(x) + "|" + TextOf(y);
  };
  // 28 bytes: a cut at 14 is inside "bcdef", one at 24.64 inside "opq" is moved to the file's end.
  EXPECT_EQ(run({a, b}, 0.5), "0123456\n89\nbcdef\n|hijklm\nopq\n");
  EXPECT_EQ(run({a, b}, 0.2), "0123456\n89\nbcdef\nhijklm\n|opq\n");
  EXPECT_EQ(run({a, b}, 0.9), "0123456\n|89\nbcdef\nhijklm\nopq\n");
  EXPECT_EQ(run({a, b}, 0.62), "0123456\n89\n|bcdef\nhijklm\nopq\n");
  EXPECT_EQ(run({b, a}, 1.0 - 17.0 / 28), "bcdef\nhijklm\nopq\n|0123456\n89\n");
}

// The pieces come from the text that is kept alone: what is held out does not change them.
TEST(Tokenize, TrainsPiecesOnWhatIsNotHeldOut) {
  std::mt19937 rng(6);
  const auto lines = [&rng](const std::string(&words)[4], int count) {
    std::string text;
    for (int i = 0; i < count; ++i) {
      for (int w = 0; w < 6; ++w) text += words[rng() % 4] + (w == 5 ? "\n" : " ");
    }
    return text;
  };
  const std::string kept_text = lines({"shoru", "bane", "tingka", "oru"}, 300);
  const std::string held_text = lines({"zyxwv", "zyx", "vwxyz", "wvu"}, 100);
  const std::string kept = MakeText("kept.txt", kept_text);
  const size_t cut = kept_text.find('\n', 1000) + 1;
  const std::string first = MakeText("first.txt", kept_text.substr(0, cut));
  const std::string rest = MakeText("rest.txt", kept_text.substr(cut) + held_text);
  const std::string a = Folder() + "/a.model", b = Folder() + "/b.model";
  const std::string out = Folder() + "/pieces.tok", held = Folder() + "/pieces-held.tok";
  const absl::Status alone =
      TokenizeFiles({.tokenizer = a, .train_vocab = 300, .texts = {kept}, .out = out});
  ASSERT_TRUE(alone.ok()) << alone;
  const double share = static_cast<double>(held_text.size()) /
                       static_cast<double>(kept_text.size() + held_text.size());
  const absl::Status split = TokenizeFiles({.tokenizer = b,
                                            .train_vocab = 300,
                                            .texts = {first, rest},
                                            .out = out,
                                            .holdout = share,
                                            .holdout_out = held});
  ASSERT_TRUE(split.ok()) << split;
  const auto encode = [](const std::string& model, const std::string& text) {
    std::vector<int32_t> ids;
    auto tokenizer = LoadTokenizer(model);
    EXPECT_TRUE(tokenizer.ok() && (*tokenizer)->Encode(text, &ids).ok());
    return ids;
  };
  EXPECT_EQ(encode(a, kept_text), encode(b, kept_text));
  EXPECT_EQ(encode(a, held_text), encode(b, held_text));
  // A byte of the held-out text is a piece of bytes: no word of it was learnt.
  EXPECT_GE(encode(b, held_text).size(), held_text.size());
}

// Training sees words in other pieces under every seed; what is held out keeps its own.
TEST(Tokenize, DropsMergesOfWhatIsNotHeldOut) {
  std::string text;
  for (int i = 0; i < 400; ++i) text += "shoru bane tingka oru\n";
  const std::string source = MakeText("drop.txt", text), model = Folder() + "/drop.model";
  const std::string out = Folder() + "/drop.tok", held = Folder() + "/drop-held.tok";
  TokenizeOptions options{.tokenizer = model,
                          .train_vocab = 290,
                          .texts = {source},
                          .out = out,
                          .holdout = 0.25,
                          .holdout_out = held};
  ASSERT_TRUE(TokenizeFiles(options).ok());
  const Result plain = ReadBack(out), plain_held = ReadBack(held);
  options.train_vocab = 0;
  options.bpe_dropout = 0.5;
  const auto run = [&](int64_t seed) {
    options.seed = seed;
    EXPECT_TRUE(TokenizeFiles(options).ok());
    EXPECT_EQ(ReadBack(held).tokens, plain_held.tokens);
    return ReadBack(out);
  };
  const Result one = run(1);
  EXPECT_GT(one.tokens.size(), plain.tokens.size());
  EXPECT_EQ(one.text_bytes, plain.text_bytes);
  EXPECT_EQ((*LoadTokenizer(model))->Decode(one.tokens), text.substr(0, text.size() * 3 / 4));
  EXPECT_NE(run(2).tokens, one.tokens);
  EXPECT_EQ(run(1).tokens, one.tokens);
}

// What streaming writes is what encoding the whole at once gives.
TEST(Tokenize, StreamsLikeTheWhole) {
  std::mt19937 rng(5);
  const std::string words[] = {"In", " the",   " beginning",    "\n",      " 1234",
                               "  ", "\u5b57", "\u00e9",        "e\u0301", "\U0001f600",
                               "'s", ", ",     "<|endoftext|>", "\r\n\n"};
  std::string text;
  while (text.size() < (2u << 20) + 777) text += words[rng() % 14];
  const std::string source = MakeText("stream.txt", text), out = Folder() + "/stream.tok";
  for (const std::string name : {"gpt2", "qwen2", "llama3"}) {
    const std::string definition = TL_SOURCE_DIR "/tests/data/golden/" + name + ".json";
    auto tokenizer = LoadTokenizer(definition);
    ASSERT_TRUE(tokenizer.ok());
    std::vector<int32_t> expected;
    ASSERT_TRUE((*tokenizer)->Encode(text, &expected).ok());
    ASSERT_TRUE(
        TokenizeFiles(
            {.tokenizer = definition, .texts = {source, source}, .out = out, .end_token = "none"})
            .ok());
    Result r = ReadBack(out);
    std::vector<int32_t> twice = expected;
    twice.insert(twice.end(), expected.begin(), expected.end());
    EXPECT_TRUE(r.tokens == twice) << name;
    EXPECT_EQ(r.starts, (std::vector<int64_t>{0, static_cast<int64_t>(expected.size())}));
    EXPECT_EQ(r.text_bytes, static_cast<int64_t>(2 * text.size()));

    ASSERT_TRUE(TokenizeFiles({.tokenizer = definition, .texts = {source}, .out = out}).ok());
    expected.push_back((*tokenizer)->end_id());
    EXPECT_TRUE(ReadBack(out).tokens == expected) << name;
  }
}

// What documents begin and end with: as the folder says, or as asked for; the file tells.
TEST(Tokenize, EndsDocumentsAsTheFolderSays) {
  const std::string folder = Folder() + "/model", out = Folder() + "/ends.tok";
  std::filesystem::create_directories(folder);
  std::filesystem::copy_file(TL_SOURCE_DIR "/tests/data/golden/qwen2.json",
                             folder + "/tokenizer.json");
  const std::string a = MakeText("ends-a.txt", "!"), b = MakeText("ends-b.txt", "\"");
  const auto tokens = [&](TokenizeOptions options) {
    options.tokenizer = folder;
    options.texts = {a, b};
    options.out = out;
    EXPECT_TRUE(TokenizeFiles(options).ok());
    return ReadBack(out).tokens;
  };
  using Ids = std::vector<int32_t>;
  EXPECT_EQ(tokens({}), (Ids{2, 0, 3, 0})) << "the usual name";
  EXPECT_EQ(TokenFile::Open(out).value()->end_token(), 0);
  EXPECT_EQ(TokenFile::Open(out).value()->begin_token(), -1);
  MakeText("model/tokenizer_config.json",
           R"({"eos_token": "<|im_start|>", "bos_token": "#", "add_bos_token": true})");
  EXPECT_EQ(tokens({}), (Ids{4, 2, 1, 4, 3, 1}));
  EXPECT_EQ(TokenFile::Open(out).value()->end_token(), 1);
  EXPECT_EQ(TokenFile::Open(out).value()->begin_token(), 4);
  EXPECT_EQ(tokens({.begin_token = "none", .end_token = "<|endoftext|>"}), (Ids{2, 0, 3, 0}));
  EXPECT_EQ(tokens({.begin_token = "!", .end_token = "none"}), (Ids{2, 2, 3}))
      << "a text that has it gets no other";
  const absl::Status none =
      TokenizeFiles({.tokenizer = folder, .texts = {a}, .out = out, .end_token = "<|nowhere|>"});
  EXPECT_NE(none.message().find("--end-token <|nowhere|>: expected a token of the tokenizer, bpe-"),
            std::string::npos)
      << none;
}

TEST(Tokenize, RefusesClearly) {
  const std::string good = MakeText("good.txt", "text\n"), out = Folder() + "/refused.tok";
  const auto message = [](const TokenizeOptions& o) {
    return std::string(TokenizeFiles(o).message());
  };
  const auto expect = [&](const TokenizeOptions& o, const std::string& part) {
    EXPECT_NE(message(o).find(part), std::string::npos) << message(o) << "\nlacks " << part;
    EXPECT_FALSE(std::filesystem::exists(out));
  };
  expect({.texts = {}, .out = out}, "no text files");
  expect({.texts = {good}, .out = ""}, "no output file");
  expect({.texts = {good, Folder() + "/no.txt"}, .out = out}, "no.txt: cannot open");
  expect({.texts = {Folder()}, .out = out}, "not a regular file");
  expect({.texts = {MakeText("none.txt", "")}, .out = out}, "no tokens");
  expect({.tokenizer = "no.json", .texts = {good}, .out = out}, "no.json: cannot open");
  expect({.train_vocab = 300, .texts = {good}, .out = out}, "found bytes");
  expect({.texts = {good}, .out = out, .bpe_dropout = 0.5}, "found bytes");
  expect({.texts = {good}, .out = out, .bpe_dropout = 1.5}, "from 0 to 1");
  expect({.texts = {good}, .out = out, .holdout = 1.5, .holdout_out = "x"}, "between 0 and 1");
  expect({.texts = {good}, .out = out, .holdout = 0.5}, "both a fraction and an output");
  expect({.texts = {good}, .out = out, .holdout_out = "x"}, "both a fraction and an output");
  expect({.texts = {good}, .out = out, .holdout = 0.5, .holdout_out = out}, "and for its holdout");
  expect({.texts = {good}, .out = out, .holdout = 0.1, .holdout_out = Folder() + "/h.tok"},
         "h.tok: no tokens");
  expect({.texts = {good}, .out = Folder() + "/no/such/folder.tok"}, "cannot create");
  // The place of what is not UTF-8 is counted from the start of the file.
  std::string text((2u << 20) + 99, 'a');
  for (size_t i = 0; i < text.size(); i += 7) text[i] = ' ';
  text[(2u << 20) + 50] = '\xff';
  expect({.tokenizer = TL_SOURCE_DIR "/tests/data/golden/gpt2.json",
          .texts = {MakeText("bad.txt", text)},
          .out = out},
         "bad.txt: expected UTF-8, found something else at byte 2097202");
}

}  // namespace
}  // namespace tl
