// SPDX-License-Identifier: Apache-2.0
// Trainings whose losses and gradients are not finite, and steps without targets, as a user and a
// script see them.
#include <algorithm>
#include <csignal>
#include <nlohmann/json.hpp>

#include "checkpoint/folder.h"
#include "data/tokenize.h"
#include "tests/data/temp_folder.h"
#include "tests/program/live_job.h"

namespace tl {
namespace {

namespace fs = std::filesystem;
using Strings = std::vector<std::string>;

constexpr int kSeconds = 60;
// One step of it ends in weights of which no loss is finite.
constexpr char kPoison[] = "optimizer.lr=1e30";

std::string At(const std::string& name) { return Folder() + "/" + name; }

Strings Arguments(const std::string& dir, const Strings& settings) {
  Strings arguments = {"train", At("tiny.toml"), "--set", "run.dir=" + dir};
  arguments.insert(arguments.end(), settings.begin(), settings.end());
  return arguments;
}

Outcome Train(int ranks, const std::string& dir, const Strings& settings) {
  return RunShell(ProgramLine(ranks, Arguments(dir, settings)), kSeconds);
}

Outcome Program(const Strings& arguments) { return RunShell(ProgramLine(1, arguments), kSeconds); }

void Expect(const Outcome& outcome, int code, const Strings& parts) {
  EXPECT_EQ(outcome.exit_code, code) << outcome.output;
  for (const std::string& part : parts)
    EXPECT_NE(outcome.output.find(part), std::string::npos) << part << "\n" << outcome.output;
}

std::vector<int64_t> Steps(const std::string& dir) {
  std::vector<int64_t> steps;
  for (const CheckpointEntry& entry : ListCheckpoints(dir)) steps.push_back(entry.step);
  return steps;
}

// A training of four steps, saved healthy in steps 2 and 4; and a copy that went on, and was
// poisoned in step 5.
class HealthOfTrainings : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    SetJobEnvironment();
    std::string text, letters;
    for (int i = 0; i < 400; ++i) {
      text += "In the beginning God created the heaven and the earth.\n";
      letters += "a\nb\n";
    }
    WriteFile(At("text.txt"), text);
    WriteFile(At("letters.txt"), letters);
    ASSERT_TRUE(TokenizeFiles({.texts = {At("text.txt")}, .out = At("train.tok")}).ok());
    // Documents of one token: packed, nothing follows any of them.
    ASSERT_TRUE(
        TokenizeFiles({.texts = {At("letters.txt")}, .out = At("letters.tok"), .separator = "\n"})
            .ok());
    WriteFile(At("tiny.toml"),
              "[model]\nlayers = 1\nhidden = 64\nheads = 2\nffn = 96\nvocab = 256\n"
              "[data]\ntrain = \"" +
                  At("train.tok") +
                  "\"\n"
                  "[train]\nsteps = 4\nsequence_length = 16\nglobal_batch_size = 4\n"
                  "micro_batch_size = 2\n[optimizer]\nschedule = \"constant\"\n"
                  "[checkpoint]\nevery = 2\n");
    Expect(Train(1, At("run"), {}), 0, {"step 4/4"});
    fs::copy(At("run"), At("ill"), fs::copy_options::recursive);
    poisoned_ = new Outcome(Train(1, At("ill"), {"train.steps=12", kPoison}));
  }
  static void TearDownTestSuite() { delete poisoned_; }
  static std::string Copy(const std::string& name) {
    fs::copy(At("ill"), At(name), fs::copy_options::recursive);
    return At(name);
  }

  static Outcome* poisoned_;
};
Outcome* HealthOfTrainings::poisoned_ = nullptr;

TEST_F(HealthOfTrainings, AnUnhealthyOneLosesNothing) {
  const std::string healthy = At("ill/step_00000004");
  Expect(*poisoned_, 3,
         {"[optimizer] lr = 1e+30, was 3e-04; [train] steps = 12, was 4: the learning rate jumps: "
          "1e+30 in step 5, which would have had 0.0003",
          "step 6: the loss is not finite, and its update is skipped",
          "The newest healthy checkpoint is " + healthy, "loss nan  lr 1.00e+30  norm nan",
          "the training ends unhealthy, since step 6"});
  EXPECT_EQ(Count(poisoned_->output, "is not finite, and its update"), 1) << "once per streak";
  EXPECT_EQ(Steps(At("ill")), (std::vector<int64_t>{12, 4, 2}));
  // The page that was copied here ends at step 4.
  EXPECT_EQ(Count(ReadFile(At("run/report.html")), "step 12"), 0);
  EXPECT_GT(Count(ReadFile(At("ill/report.html")), "step 12"), 0);
  Expect(Program({"checkpoint", "list", At("ill")}), 3,
         {"whole, but unhealthy since step 6: " + At("ill/step_00000012"), "good: " + healthy,
          "1 of 3 checkpoints are unhealthy"});
  Expect(Program({"checkpoint", "verify", At("ill")}), 3,
         {At("ill/step_00000012") + ": whole, but unhealthy since step 6", healthy + ": good"});
  Expect(Program({"verify", At("ill"), At("train.tok")}), 3,
         {At("ill/step_00000012") + ": whole, but unhealthy since step 6", healthy + ": good",
          "1 of 4 token files and checkpoints are unhealthy"});
  Expect(Program({"checkpoint", "inspect", At("ill/step_00000012"), "--tensor", "none"}), 0,
         {"is unhealthy since step 6: ", "  unhealthy since step 6\n"});
  // Whatever takes the newest of a folder.
  Expect(Program({"checkpoint", "diff", At("ill"), healthy}), 0,
         {"passed over", "no tensor differs"});
  Expect(Program({"eval", At("ill"), "--data", At("train.tok"), "--batches", "1"}), 0,
         {At("ill/step_00000012") + " is unhealthy since step 6", "passed over"});
}

TEST_F(HealthOfTrainings, MetricsStayJson) {
  const std::string text = ReadFile(At("ill/metrics.jsonl"));
  int steps = 0;
  for (size_t begin = 0; begin < text.size(); begin = text.find('\n', begin) + 1, ++steps) {
    const auto line =
        nlohmann::json::parse(text.substr(begin, text.find('\n', begin) - begin), nullptr, false);
    ASSERT_TRUE(line.is_object()) << text;
    const bool bad = line["step"] >= 6;
    EXPECT_EQ(line["loss"].is_null(), bad) << line;
    EXPECT_EQ(line["grad_norm"].is_null(), bad) << line;
    EXPECT_EQ(line["heads"].begin().value()["top1"].is_null(), bad) << line;
  }
  EXPECT_EQ(steps, 12);
}

TEST_F(HealthOfTrainings, TheNextStartGoesBack) {
  const std::string run = Copy("back");
  Expect(Train(2, run, {"train.steps=13"}), 0,
         {run + "/step_00000012 is unhealthy since step 6", "passed over",
          "resumed from " + run + "/step_00000004", "step 13/13"});
  EXPECT_EQ(Steps(run), (std::vector<int64_t>{13, 12}));
  Expect(Program({"checkpoint", "verify", run}), 0, {"step_00000012: good"});
}

TEST_F(HealthOfTrainings, AnUnhealthyOneCanBeNamed) {
  const std::string run = Copy("named"), ill = run + "/step_00000012";
  Expect(Train(1, run, {"train.steps=14", "checkpoint.resume=" + ill}), 3,
         {ill + " is unhealthy since step 6", "resumed from " + ill,
          "the training ends unhealthy, since step 6"});
  EXPECT_EQ(Steps(run), (std::vector<int64_t>{14, 4, 2}));
}

// Of another branch of the same run: what failed here may not take its name.
TEST_F(HealthOfTrainings, AHealthyOneOfTheSameStepStays) {
  const std::string run = Copy("again"), healthy = run + "/step_00000013: is healthy and stays";
  const std::string resume = "checkpoint.resume=" + At("ill/step_00000012");
  Expect(Train(1, run, {"train.steps=13", "checkpoint.keep=0"}), 0, {"step 13/13"});
  const std::vector<int64_t> steps = Steps(run);
  EXPECT_EQ(steps, (std::vector<int64_t>{13, 12, 10, 8, 6, 4, 2}));
  Expect(Train(2, run, {"train.steps=13", "checkpoint.keep=0", resume}), 3,
         {"the training ends unhealthy; this step is not saved: ", healthy,
          "the state of step 13 is unhealthy since step 6"});
  Expect(
      Train(1, run, {"train.steps=15", "checkpoint.keep=0", "checkpoint.time_limit=0.01s", resume}),
      3, {"stopped by ", " after step 13 of 15; this step is not saved: ", healthy});
  EXPECT_EQ(Steps(run), steps);
  Expect(Program({"checkpoint", "verify", run}), 0, {"step_00000013: good"});
  // Before its end a training goes on.
  Expect(Train(1, run,
               {"train.steps=15", "checkpoint.keep=0", "checkpoint.every=1",
                "checkpoint.max_failed_saves=1", resume}),
         3,
         {"step 13 is not saved: " + healthy, "step 15/15",
          "the training ends unhealthy, since step 6"});
  EXPECT_EQ(Steps(run), (std::vector<int64_t>{15, 13, 12, 10, 8, 6, 4, 2}));
}

TEST_F(HealthOfTrainings, AHopelessOneSaysWhatToDo) {
  const std::string run = Copy("hopeless");
  for (const int ranks : {1, 2}) {
    ExpectOneError(
        Train(ranks, run, {"train.steps=400", "checkpoint.every=0", kPoison}),
        {"step 105: the gradients of 100 steps in a row were not finite", "unhealthy since step 6",
         "The newest healthy checkpoint is " + run + "/step_00000004",
         "step 105 is saved in " + run + ", as unhealthy"});
    EXPECT_EQ(Steps(run), (std::vector<int64_t>{105, 4, 2}));
  }
}

TEST_F(HealthOfTrainings, OneThatIsStoppedInAStreak) {
  const std::string run = Copy("stopped");
  LiveJob job(1, Arguments(run, {"train.steps=4000", "train.global_batch_size=256", kPoison}),
              At("stopped.log"));
  ASSERT_TRUE(WaitUntil(kSeconds, [&] {
    return job.Output().find("its update is skipped") != std::string::npos || job.ended();
  }));
  EXPECT_TRUE(job.Signal(0, SIGUSR1));
  EXPECT_EQ(job.Wait(kSeconds), 85) << job.Output();
  for (const char* part : {"but unhealthy since step 6. The newest healthy checkpoint is ",
                           "/step_00000004; a start with [checkpoint] resume = \"auto\" goes back"})
    EXPECT_NE(job.Output().find(part), std::string::npos) << part << "\n" << job.Output();
  Expect(Train(1, run, {"train.steps=5"}), 0,
         {"is unhealthy since step 6", "resumed from " + run + "/step_00000004"});
}

TEST_F(HealthOfTrainings, AScheduleThatJumpsIsTold) {
  const std::string run = At("jump");
  Expect(Train(1, run, {"optimizer.schedule=cosine", "optimizer.lr=1e-3"}), 0, {"step 4/4"});
  const Outcome longer =
      Train(1, run, {"optimizer.schedule=cosine", "optimizer.lr=1e-3", "train.steps=8"});
  Expect(longer, 0,
         {"[train] steps = 8, was 4: the learning rate jumps: 0.0005 in step 5, which would have "
          "had 0"});
  EXPECT_EQ(Count(longer.output, "jumps"), 1);
  const Outcome same =
      Train(1, run, {"optimizer.schedule=cosine", "optimizer.lr=1e-3", "train.steps=8"});
  EXPECT_EQ(Count(same.output, "jumps"), 0) << same.output;
}

TEST_F(HealthOfTrainings, StepsWithoutTargetsAreTold) {
  const std::string run = At("masked");
  const Outcome outcome =
      Train(1, run,
            {"data.train=" + At("letters.tok"), "data.eval=" + At("letters.tok"),
             "data.pack_documents=true", "train.eval_batches=1"});
  Expect(outcome, 0,
         {"step 1: every target of its batch is masked", "step 4/4  loss -  lr", "eval 4/4  loss -",
          "every target of the evaluation is masked"});
  EXPECT_EQ(Count(outcome.output, "of its batch is masked"), 1) << outcome.output;
  EXPECT_EQ(Count(outcome.output, "unhealthy"), 0) << outcome.output;
  Expect(Program({"eval", run, "--batches", "1"}), 0,
         {"eval_loss - over 0 targets", "every target is masked"});
}

}  // namespace
}  // namespace tl
