// SPDX-License-Identifier: Apache-2.0
// `trunkline checkpoint` and resuming, as a user and a script see them.
#include <algorithm>

#include "data/tokenize.h"
#include "job.h"
#include "tests/data/temp_folder.h"

namespace tl {
namespace {

namespace fs = std::filesystem;
using Strings = std::vector<std::string>;
constexpr int kSeconds = 120;

std::string At(const std::string& name) { return Folder() + "/" + name; }

class CheckpointCommand : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    SetJobEnvironment();
    std::string text;
    for (int i = 0; i < 400; ++i)
      text += "In the beginning God created the heaven and the earth.\n";
    WriteFile(At("text.txt"), text);
    ASSERT_TRUE(TokenizeFiles({.texts = {At("text.txt")}, .out = At("train.tok")}).ok());
    WriteFile(At("tiny.toml"),
              "[model]\nlayers = 1\nhidden = 64\nheads = 2\nffn = 96\nvocab = 256\n"
              "[data]\ntrain = \"" +
                  At("train.tok") +
                  "\"\n"
                  "[train]\nsteps = 4\nsequence_length = 16\nglobal_batch_size = 4\n"
                  "micro_batch_size = 2\n[checkpoint]\nevery = 2\n");
    const Outcome outcome = Train(2, At("run"), {"parallel.tensor=2"});
    ASSERT_EQ(outcome.exit_code, 0) << outcome.output;
  }

  static Outcome Train(int ranks, const std::string& dir, const Strings& settings) {
    Strings arguments = {"train", At("tiny.toml"), "--set", "run.dir=" + dir};
    arguments.insert(arguments.end(), settings.begin(), settings.end());
    return RunShell(ProgramLine(ranks, arguments), kSeconds);
  }
  static Outcome Checkpoint(Strings arguments) {
    arguments.insert(arguments.begin(), "checkpoint");
    return RunShell(ProgramLine(1, arguments), kSeconds);
  }
  static void Expect(const Outcome& outcome, int code, const Strings& parts) {
    EXPECT_EQ(outcome.exit_code, code) << outcome.output;
    for (const std::string& part : parts)
      EXPECT_NE(outcome.output.find(part), std::string::npos) << part << "\n" << outcome.output;
  }
  // A copy of the run, its newest checkpoint damaged.
  static std::string Damaged(const std::string& name) {
    fs::copy(At("run"), At(name), fs::copy_options::recursive);
    const std::string shard = At(name) + "/step_00000004/shard_0001.h5";
    std::string bytes = ReadFile(shard);
    bytes[bytes.size() / 2] ^= 1;
    WriteFile(shard, bytes);
    return At(name);
  }
};

TEST_F(CheckpointCommand, GoodOnes) {
  Expect(Checkpoint({"list", At("run")}), 0, {"1x2  good: " + At("run/step_00000004")});
  Expect(Checkpoint({"verify", At("run")}), 0, {At("run/step_00000002") + ": good"});
  Expect(Checkpoint({"inspect", At("run"), "--tensor", "embedding"}), 0,
         {"step 4", "weight/embedding.weight", "[256, 64]", "v/embedding.weight"});
  Expect(Checkpoint({"reshard", At("run"), "--out", At("resharded"), "--data", "3"}), 0,
         {At("resharded/step_00000004")});
  Expect(Checkpoint({"verify", At("resharded")}), 0, {"good"});
  Expect(Checkpoint({"diff", At("run"), At("resharded")}), 0, {"no tensor differs"});
  Expect(Checkpoint({"diff", At("run"), At("run/step_00000002")}), 3,
         {"weight/embedding.weight", "elements differ, by at most"});
}

TEST_F(CheckpointCommand, BadOnesAndErrors) {
  const std::string run = Damaged("flipped");
  Expect(Checkpoint({"list", run}), 0, {"good"});
  Expect(Checkpoint({"verify", run}), 3,
         {"shard_0001.h5: damaged", run + "/step_00000004: bad", run + "/step_00000002: good"});
  fs::remove(run + "/step_00000004/model.h5");
  Expect(Checkpoint({"list", run}), 3, {"bad: ", "model.h5: cannot open", "1 of 2"});
  Expect(Checkpoint({"verfy", run}), 1, {"unknown command checkpoint verfy"});
  Expect(Checkpoint({"verify", At("none")}), 1, {"/none: cannot open"});
  Expect(Checkpoint({"verify", run, "--fast"}), 1, {"--fast"});
  Expect(Checkpoint({}), 0, {"Usage: trunkline checkpoint", "Exit codes"});
}

TEST_F(CheckpointCommand, ATrainingPassesOverABadOne) {
  const std::string run = Damaged("passed_over");
  Expect(Train(1, run, {"train.steps=6"}), 0,
         {run + "/step_00000004 is passed over: " + run + "/step_00000004/shard_0001.h5: damaged",
          "resumed from " + run + "/step_00000002", "bits may differ", "grid 1 x 1, was 1 x 2"});
  Expect(Checkpoint({"verify", run + "/step_00000006"}), 0, {"good"});
}

TEST_F(CheckpointCommand, ResumeAsTheConfigSays) {
  fs::copy(At("run"), At("copy"), fs::copy_options::recursive);
  const Outcome never = Train(1, At("copy"), {"checkpoint.resume=never", "run.stop_after=1"});
  Expect(never, 0, {"step 1/"});
  const std::string path = At("run") + "/step_00000002";
  Expect(Train(1, At("from_path"), {"checkpoint.resume=" + path}), 0,
         {"resumed from " + path, "step 3/4"});
  // Of a training that went back: the latest save is not its own.
  Expect(never, 0, {At("copy") + "/step_00000004 is of a later step than 0"});
}

// A stop, or a crash, between the last save and the evaluation costs no evaluation.
TEST_F(CheckpointCommand, AMissedEvaluationIsMadeAtTheNextStart) {
  const std::string run = At("evaluated"), metrics = run + "/metrics.jsonl";
  const Strings sets = {"data.eval=" + At("train.tok"), "train.eval_batches=1"};
  Expect(Train(1, run, sets), 0, {"eval"});
  const std::string whole = ReadFile(metrics);
  EXPECT_EQ(Count(whole, "\"eval_loss\":"), 1);
  WriteFile(metrics, whole.substr(0, whole.rfind("{\"step\"")));
  Expect(Train(2, run, sets), 0, {"nothing to do", "eval 4/4"});
  EXPECT_EQ(Count(ReadFile(metrics), "\"eval_loss\":"), 1);
  EXPECT_EQ(Train(1, run, sets).output.find("eval 4/4"), std::string::npos);
  EXPECT_EQ(Count(ReadFile(metrics), "\"eval_loss\":"), 1);
}

TEST_F(CheckpointCommand, WhatTheConfigChangesIsTold) {
  const std::string run = At("changed");
  fs::copy(At("run"), run, fs::copy_options::recursive);
  Expect(Train(1, run, {"train.steps=5", "train.sequence_length=8"}), 0,
         {"[train] sequence_length = 8, was 16: text may be seen again", "step 5/5"});
  Expect(Train(1, run, {"train.steps=6", "model.rope_theta=5000.0"}), 1,
         {run + "/step_00000005: of another model: [model] rope_theta = 5000.0, was 10000.0",
          "[run] init_from"});
  Expect(Train(1, run,
               {"train.steps=6", "checkpoint.resume=never", "run.stop_after=1",
                "run.init_from=" + At("run"), "model.rope_theta=5000.0"}),
         0, {"step 1/"});
}

// A save that cannot be made is reported and training goes on; three in a row end it.
TEST_F(CheckpointCommand, FailedSavesEndATrainingInTheEnd) {
  const std::string disk = At("disk");
  fs::create_directories(disk);
  const auto on_disk = [&](const std::string& command) {
    return RunShell(
        std::string(geteuid() == 0 ? "unshare -m" : "unshare -rm") + " sh -c " +
            Quote("mount -t tmpfs -o size=128k none " + Quote(disk) + " || exit 77; " + command),
        kSeconds);
  };
  if (on_disk("true").exit_code != 0) GTEST_SKIP() << "this user may not mount a small disk";
  const auto train = [&](const std::string& setting) {
    return on_disk(ProgramLine(1, {"train", At("tiny.toml"), "--set", "run.dir=" + At("full"),
                                   "checkpoint.dir=" + disk, "checkpoint.every=1", setting}));
  };
  const Outcome three = train("checkpoint.max_failed_saves=3");
  Expect(three, 1,
         {"the save of step 1 failed (1 of 3 in a row)", "training goes on",
          "the save of step 2 failed (2 of 3 in a row)", "3 saves in a row failed"});
  EXPECT_EQ(three.output.find("step 4/4"), std::string::npos);
}

}  // namespace
}  // namespace tl
