// SPDX-License-Identifier: Apache-2.0
// Ranks that read different configs or files, or run different commands, do not work together. On
// two nodes the files differ under one path; here under one relative path in two folders.
#include <cstring>

#include "tests/data/temp_folder.h"
#include "tests/program/job.h"
#include "tests/program/token_files.h"

namespace tl {
namespace {

namespace fs = std::filesystem;
using Strings = std::vector<std::string>;

constexpr int kSeconds = 60;
constexpr int kFirst = 0, kSecond = 1;

std::string At(const std::string& name) { return Folder() + "/" + name; }
// Of the first rank and of the second.
std::string Node(int rank) { return At(rank == kFirst ? "a" : "b"); }

class Nodes : public testing::Environment {
 public:
  void SetUp() override {
    SetJobEnvironment();
    for (const int rank : {kFirst, kSecond}) {
      fs::create_directories(Node(rank));
      std::string text;
      for (int i = 0; i < 300; ++i) text += "In the beginning God created the heaven.\n";
      MakeTokenFiles(Node(rank), text);
      WriteFile(Node(rank) + "/tiny.toml", R"([model]
layers = 1
hidden = 64
heads = 2
ffn = 96
vocab = 256
[data]
train = "train.tok"
eval = "eval.tok"
[train]
steps = 2
sequence_length = 16
global_batch_size = 4
micro_batch_size = 1
eval_batches = 1
[optimizer]
warmup_steps = 1
)");
    }
    // One run with another seed on each node.
    for (const int rank : {kFirst, kSecond}) {
      const Outcome run = RunShell("cd " + Quote(Node(rank)) + " && " +
                                       ProgramLine(1, {"train", "tiny.toml", "--set", "run.dir=run",
                                                       "train.seed=" + std::to_string(rank)}),
                                   kSeconds);
      ASSERT_EQ(run.exit_code, 0) << run.output;
    }
    // The configs of the runs are the same nevertheless.
    fs::copy_file(Node(kFirst) + "/run/config.toml", Node(kSecond) + "/run/config.toml",
                  fs::copy_options::overwrite_existing);
  }
};

const auto* const kNodes = testing::AddGlobalTestEnvironment(new Nodes);

// A rank on each node.
Outcome RunBoth(const Strings& first, const Strings& second) {
  const auto part = [](int rank, const Strings& arguments) {
    return "cd " + Quote(Node(rank)) + " && exec " + ProgramLine(1, arguments);
  };
  return RunRanks(part(kFirst, first), part(kSecond, second), kSeconds);
}
Outcome RunBoth(const Strings& both) { return RunBoth(both, both); }

Strings Training(const Strings& sets = {}) {
  Strings arguments = {"train", "tiny.toml", "--set", "run.dir=" + At("together")};
  arguments.insert(arguments.end(), sets.begin(), sets.end());
  return arguments;
}

class Agreement : public testing::Test {
 protected:
  void SetUp() override { fs::remove_all(At("together")); }
  // What was refused left no trace.
  void TearDown() override {
    if (refused_) {
      EXPECT_FALSE(fs::exists(At("together")));
    }
  }
  void ExpectRefused(const Outcome& outcome, const Strings& parts) {
    refused_ = true;
    ExpectOneError(outcome, parts);
  }
  // Puts the second node's file back when the test ends.
  class Changed {
   public:
    explicit Changed(const std::string& name)
        : path_(Node(kSecond) + "/" + name), bytes_(ReadFile(path_)) {}
    ~Changed() { WriteFile(path_, bytes_); }
    const std::string& path() const { return path_; }

   private:
    std::string path_, bytes_;
  };

 private:
  bool refused_ = false;
};

TEST_F(Agreement, CopiesOfTheSameFilesMayLieElsewhere) {
  fs::copy_file(Node(kSecond) + "/train.tok", At("copy.tok"), fs::copy_options::overwrite_existing);
  const Outcome outcome = RunBoth(Training(), Training({"data.train=" + At("copy.tok")}));
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
}

TEST_F(Agreement, ConfigsDiffer) {
  Changed config("tiny.toml");
  WriteFile(config.path(), ReadFile(config.path()) + "lr = 0.002\n");
  ExpectRefused(RunBoth(Training()),
                {"rank 1: [optimizer] lr is 0.002 on ", ", but 3e-04 for rank 0 on "});
}

TEST_F(Agreement, CommandsAndOptionsDiffer) {
  ExpectRefused(RunBoth({"info"}, Training()),
                {"rank 1: runs `trunkline train` on ", "`trunkline info`"});
  ExpectRefused(RunBoth({"generate", "run", "--prompt", "a", "--max-tokens", "2"},
                        {"generate", "run", "--prompt", "a", "--max-tokens", "3"}),
                {"rank 1: --max-tokens is 3 on ", "but 2 for rank 0"});
  ExpectRefused(RunBoth({"generate", "run", "--prompt", "a"}, {"generate", "run", "--promt", "a"}),
                {"--promt"});
}

TEST_F(Agreement, NumbersOfDataFilesDiffer) {
  const Strings one = {"eval", "run", "--data", "eval.tok", "--batches", "1"};
  Strings two = one;
  two.insert(two.end(), {"--data", "train.tok"});
  ExpectRefused(RunBoth(one, two), {"rank 1: --data is 2 files on ", "but 1 file for rank 0"});
  const Strings none = {"calibrate", "run", "--set", "data.eval=[]"};
  Strings some = none;
  some.insert(some.end(), {"--data", "eval.tok"});
  ExpectRefused(RunBoth(some, none), {"rank 1: --data is not given on ", "but 1 file for rank 0"});
  ExpectRefused(RunBoth({"eval", "run"}, {"eval", "run", "--set", "data.eval=[]"}),
                {"rank 1: [data] eval is not given on ", "but 1 file with weights 1 for rank 0"});
}

// Below $HOME, whatever each node calls that.
TEST_F(Agreement, HomesMayHaveOtherNames) {
  fs::create_directories(At("home"));
  fs::create_directory_symlink(At("home"), At("nfs_home"));
  const auto part = [](int rank, const std::string& home) {
    return "cd " + Quote(Node(rank)) + " && HOME=" + Quote(home) + " exec " +
           ProgramLine(1, {"train", "tiny.toml", "--set", "run.dir=~/run"});
  };
  const Outcome outcome =
      RunRanks(part(kFirst, At("home")), part(kSecond, At("nfs_home")), kSeconds);
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
}

// Of llm.c's file, which has no checksum, samples are compared.
TEST_F(Agreement, DataDiffer) {
  Changed train("train.tok"), eval("eval.tok");
  fs::copy_file(Node(kFirst) + "/eval.tok", train.path(), fs::copy_options::overwrite_existing);
  fs::copy_file(Node(kFirst) + "/train.tok", eval.path(), fs::copy_options::overwrite_existing);
  std::string bytes(1024 + 2000, 0);
  const int32_t header[] = {20240520, 1, 1000};
  std::memcpy(bytes.data(), header, sizeof(header));
  WriteFile(Node(kFirst) + "/foreign.bin", bytes);
  bytes[2500] = 1;
  WriteFile(Node(kSecond) + "/foreign.bin", bytes);
  ExpectRefused(RunBoth(Training({"data.train=[\"train.tok\", \"foreign.bin\"]"})),
                {"rank 1: data.train[0] (train.tok) is ", " tokens, ", "CRC32C ", " on ",
                 " for rank 0 on ", "data.train[1] (foreign.bin) is 1000 tokens", "of 64 samples",
                 "data.eval[0] (eval.tok) is "});
}

TEST_F(Agreement, DataAreMissingOnOneNode) {
  Changed data("train.tok");
  fs::remove(data.path());
  ExpectRefused(RunBoth(Training()), {"rank 1: train.tok: cannot open", " (on "});
}

TEST_F(Agreement, WeightsToStartFromDiffer) {
  ExpectRefused(RunBoth(Training({"run.init_from=run"})),
                {"rank 1: run.init_from step_00000002 (run/step_00000002/manifest.json) is "});
}

TEST_F(Agreement, CheckpointsToGoOnFromDiffer) {
  ExpectRefused(RunBoth(Training({"checkpoint.resume=run"})),
                {"rank 1: checkpoint.resume step_00000002 (run/step_00000002/manifest.json) is "});
}

TEST_F(Agreement, RunsToUseDiffer) {
  const std::string found = "rank 1: weights step_00000002 (run/step_00000002/manifest.json) is ";
  ExpectRefused(RunBoth({"eval", "run"}), {found});
  ExpectRefused(RunBoth({"generate", "run", "--prompt", "a", "--max-tokens", "2"}), {found});
  ExpectRefused(RunBoth({"calibrate", "run"}), {found});
}

}  // namespace
}  // namespace tl
