// SPDX-License-Identifier: Apache-2.0
// trunkline verify: every token of every file, and where the first bad one is.
#include <cmath>
#include <cstring>

#include "base/crc32c.h"
#include "base/exit_code.h"
#include "data/npy.h"
#include "data/token_file_format.h"
#include "tests/data/temp_folder.h"
#include "tests/program/job.h"
#include "tests/program/token_files.h"

namespace tl {
namespace {

namespace fs = std::filesystem;
using Strings = std::vector<std::string>;

std::string At(const std::string& name) { return Folder() + "/" + name; }

Outcome Verify(Strings arguments) {
  arguments.insert(arguments.begin(), "verify");
  return RunShell(ProgramLine(1, arguments), 60);
}

void Expect(const Outcome& outcome, int exit_code, const Strings& parts) {
  EXPECT_EQ(outcome.exit_code, exit_code) << outcome.output;
  for (const std::string& part : parts)
    EXPECT_NE(outcome.output.find(part), std::string::npos) << "expected: " << part << "\n"
                                                            << outcome.output;
}

// More than is read at a time, so that places count from the start of the file.
constexpr int kTokens = 1'500'000;

std::string LlmC(int bad_at = -1) {
  std::vector<uint16_t> tokens(kTokens, 7);
  if (bad_at >= 0) tokens[bad_at] = 300;
  std::string bytes(1024, 0);
  const int32_t header[] = {internal::kLlmCGpt2Magic, 1, kTokens};
  std::memcpy(bytes.data(), header, sizeof(header));
  return bytes + std::string(reinterpret_cast<const char*>(tokens.data()), tokens.size() * 2);
}

std::string MegatronIndex() {
  std::string index("MMIDIDX\0\0", 9);
  const auto add = [&](auto value) {
    index.append(reinterpret_cast<const char*>(&value), sizeof(value));
  };
  add(uint64_t{1});
  add(uint8_t{4});  // int32
  add(uint64_t{1});
  add(uint64_t{2});
  add(int32_t{3});
  add(int64_t{0});
  add(int64_t{0});
  add(int64_t{1});
  return index;
}

class Files : public testing::Environment {
 public:
  void SetUp() override {
    SetJobEnvironment();
    std::string text;
    for (int i = 0; i < 300; ++i) text += "In the beginning God created the heaven.\n";
    MakeTokenFiles(Folder(), text);
    WriteFile(At("tiny.toml"),
              "[model]\nlayers = 1\nhidden = 64\nheads = 2\nffn = 96\nvocab = 256\n[data]\ntrain = "
              "\"" +
                  At("train.tok") +
                  "\"\n[train]\nsteps = 1\nsequence_length = 16\nglobal_batch_size = 1\n"
                  "micro_batch_size = 1\n[optimizer]\nwarmup_steps = 1\n");
  }
};

const auto* const kFiles = testing::AddGlobalTestEnvironment(new Files);

TEST(Verify, OwnFiles) {
  Expect(Verify({At("train.tok"), At("eval.tok")}), 0,
         {At("train.tok") + ": good: ", At("eval.tok") + ": good: ", "all below 256", " GB/s"});
  std::string bytes = ReadFile(At("train.tok"));
  bytes[5000] ^= 1;
  WriteFile(At("damaged.tok"), bytes);
  Expect(Verify({At("damaged.tok"), At("eval.tok")}), kExitFinding,
         {"bad: " + At("damaged.tok") + ": damaged tokens: expected CRC32C ",
          At("eval.tok") + ": good: ", "1 of 2 token files are bad"});
  Expect(Verify({"--vocab", "50", At("train.tok")}), kExitFinding,
         {"train.tok: token 0 is 73, outside the vocabulary of 50"});
}

TEST(Verify, LlmCFiles) {
  WriteFile(At("good.bin"), LlmC());
  Expect(Verify({"--vocab", "256", At("good.bin")}), 0, {"good.bin: good: 1500000 tokens"});
  Expect(Verify({"--config", At("tiny.toml"), At("good.bin")}), 0, {"all below 256"});
  Expect(Verify({At("good.bin")}), kExitError,
         {"not checked: " + At("good.bin"), "give --vocab or --config"});
  // Not one of the samples that a training takes at its start.
  WriteFile(At("bad.bin"), LlmC(1'400'001));
  Expect(Verify({"--config", At("tiny.toml"), At("good.bin"), At("bad.bin")}), kExitFinding,
         {"good.bin: good", "bad.bin: token 1400001 is 300, outside the vocabulary of 256"});
  // A training finds one that is among the samples, before it makes anything.
  WriteFile(At("last.bin"), LlmC(kTokens - 1));
  const Outcome run =
      RunShell(ProgramLine(1, {"train", At("tiny.toml"), "--set", "run.dir=" + At("run"),
                               "data.train=" + At("last.bin")}),
               60);
  ExpectOneError(run, {"last.bin: token 1499999 is 300, outside the vocabulary of 256"});
  EXPECT_FALSE(fs::exists(At("run")));
}

TEST(Verify, MegatronFiles) {
  WriteFile(At("m.idx"), MegatronIndex());
  WriteFile(At("m.bin"), std::string("\1\0\0\0\2\0\0\0\3\0\0\0", 12));
  Expect(Verify({"--vocab", "4", At("m"), At("m.bin"), At("m.idx")}), 0,
         {"m: good: 3 tokens in 1 documents"});
  WriteFile(At("m.bin"), std::string("\1\0\0\0\2\0\0\0\xff\xff\xff\xff", 12));
  Expect(Verify({"--vocab", "4", At("m")}), kExitFinding,
         {"m.bin: token 2 is -1, outside the vocabulary of 4"});
}

TEST(Verify, Arrays) {
  const std::vector<int64_t> shape = {300, 2, 1000};
  std::vector<float> values(600'000, 0.5f);
  const std::string header = NpyHeader(ArrayType::kF32, shape);
  const auto bytes = [&] {
    return header + std::string(reinterpret_cast<const char*>(values.data()), values.size() * 4);
  };
  WriteFile(At("good.npy"), bytes());
  WriteFile(At("labels.idx"), std::string("\0\0\x8\1\0\0\0\3\1\2\3", 11));
  Expect(Verify({At("good.npy"), At("labels.idx")}), 0,
         {At("good.npy") + ": good: (300, 2, 1000) of '<f4'; its format stores no checksum\n",
          "labels.idx: good: (3,) of '|u1'"});
  values[599'999] = INFINITY;
  WriteFile(At("bad.npy"), bytes());
  WriteFile(At("short.idx"), std::string("\0\0\x8\1\0\0\0\4\1\2\3", 11));
  Expect(Verify({At("bad.npy"), At("short.idx"), At("train.tok")}), kExitFinding,
         {"bad.npy: value 1999 of sample 299: expected a finite number, found inf",
          "short.idx: truncated: expected 12 bytes for shape (4,) of '|u1', found 11",
          "train.tok: good: ", "2 of 3 token files and arrays are bad"});
}

TEST(Verify, Checkpoints) {
  const Outcome run =
      RunShell(ProgramLine(1, {"train", At("tiny.toml"), "--set", "run.dir=" + At("saved")}), 60);
  ASSERT_EQ(run.exit_code, 0) << run.output;
  Expect(Verify({At("saved"), At("train.tok")}), 0, {"step_00000001: good\n"});
  const std::string shard = At("saved/step_00000001/shard_0000.h5");
  std::string bytes = ReadFile(shard);
  bytes[bytes.size() / 2] ^= 1;
  WriteFile(shard, bytes);
  Expect(Verify({At("saved")}), kExitFinding,
         {"  " + shard + ": damaged", "step_00000001: bad\n", "1 of 1 checkpoints are bad"});
  fs::remove(shard);
  Expect(Verify({At("saved"), At("train.tok")}), kExitFinding,
         {shard + ": cannot open", "1 of 2 token files and checkpoints are bad"});
}

TEST(Verify, WhatIsNone) {
  Expect(Verify({At("nowhere.tok"), At("text.txt"), Folder()}), kExitFinding,
         {"not checked: " + At("nowhere.tok") + ": cannot open", "text.txt: not a token file",
          "no checkpoint", "1 of 3 token files and checkpoints are bad, 2 of 3"});
  // No damage where nothing was looked at.
  Expect(Verify({At("nowhere.tok"), At("train.tok")}), kExitError,
         {"train.tok: good", "1 of 2 token files could not be checked: " + At("nowhere.tok")});
  Expect(Verify({Folder()}), kExitError,
         {"1 of 1 checkpoints could not be checked", "no checkpoint"});
  if (geteuid() != 0) {
    fs::copy(At("train.tok"), At("secret.tok"));
    fs::permissions(At("secret.tok"), fs::perms::none);
    Expect(Verify({At("secret.tok")}), kExitError, {"secret.tok: cannot open"});
  }
  Expect(Verify({}), kExitError, {"PATH"});
  Expect(Verify({"--vocab", "3", "--config", At("tiny.toml"), At("train.tok")}), kExitError,
         {"expected one of them"});
}

}  // namespace
}  // namespace tl
