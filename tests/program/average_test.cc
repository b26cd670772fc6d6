// SPDX-License-Identifier: Apache-2.0
// An average of weights as its user sees it: evaluations, texts and exports are of it, unless they
// are asked for otherwise, and trainings say where one begins or ends.
#include <filesystem>

#include "tests/program/trained_runs.h"

namespace tl {
namespace {

namespace fs = std::filesystem;

class Runs : public TrainedRuns {
  void TrainAll() override {
    Train("plain", {"train.steps=12"});
    Train("averaged", {"train.steps=12", "optimizer.ema=0.9"});
  }
};
const auto* const kRuns = testing::AddGlobalTestEnvironment(new Runs);

Outcome Ends(const Strings& arguments, int ranks = 1) {
  return RunShell(ProgramLine(ranks, arguments), kSeconds);
}

// The numbers of a key in the lines of a run's metrics.
std::vector<double> Metric(const std::string& run, const std::string& key) {
  std::vector<double> values;
  for (const auto& line : Lines(ReadFile(At(run) + "/metrics.jsonl"))) {
    if (line.contains(key)) values.push_back(line.at(key).get<double>());
  }
  return values;
}

// What eval says of a run: "5.123 over 48 targets, ...".
std::string EvalLine(const Strings& arguments, int ranks = 1) {
  Strings all = {"eval", "--batches", "1"};
  all.insert(all.begin() + 1, arguments.begin(), arguments.end());
  const std::string output = RunProgram(all, ranks), key = "eval_loss ";
  const size_t at = output.find(key);
  EXPECT_NE(at, std::string::npos) << output;
  return output.substr(at + key.size(), output.find('\n', at) - at - key.size());
}

TEST(Average, LeavesTheTrainingAlone) {
  EXPECT_EQ(Metric("averaged", "loss"), Metric("plain", "loss"));
  EXPECT_EQ(Metric("averaged", "grad_norm"), Metric("plain", "grad_norm"));
  EXPECT_NE(Metric("averaged", "eval_loss"), Metric("plain", "eval_loss"));
}

TEST(Average, EvaluationsAreOfIt) {
  const std::string plain = EvalLine({At("plain")}), averaged = EvalLine({At("averaged")});
  const std::string told = ", of the average of weights";
  EXPECT_EQ(Count(plain, told), 0) << plain;
  EXPECT_EQ(EvalLine({At("averaged"), "--weights", "trained"}), plain);
  EXPECT_EQ(EvalLine({At("averaged"), "--weights", "ema"}), averaged);
  EXPECT_EQ(averaged.find(told), averaged.size() - told.size()) << averaged;
  // The training's own evaluation was of it.
  const double loss = std::stod(averaged);
  EXPECT_NEAR(Metric("averaged", "eval_loss").back(), loss, 1e-6 * loss);
  EXPECT_NEAR(std::stod(EvalLine({At("averaged"), "--set", "parallel.tensor=2"}, 2)), loss, 1e-3);
}

TEST(Average, TextsAreOfIt) {
  const auto text = [](const std::string& run, const Strings& more) {
    Strings all = {"generate",     At(run), "--prompt",      "In the",
                   "--max-tokens", "24",    "--temperature", "1"};
    all.insert(all.end(), more.begin(), more.end());
    return RunProgram(all);
  };
  const std::string averaged = text("averaged", {});
  EXPECT_EQ(text("averaged", {"--weights", "ema"}), averaged);
  EXPECT_EQ(text("averaged", {"--weights", "trained"}), text("plain", {}));
  EXPECT_NE(text("plain", {}), averaged);
  // A draft model keeps an average or not.
  EXPECT_EQ(text("averaged", {"--weights", "ema", "--speculate", "draft-model", "--draft-model",
                              At("plain"), "--verify", "match"}),
            averaged);
}

TEST(Average, ExportsAreOfIt) {
  const auto exported = [](const std::string& run, const std::string& name, const Strings& more) {
    Strings all = {"export", At(run), "--out", At(name), "--dtype", "fp32"};
    all.insert(all.end(), more.begin(), more.end());
    const std::string output = RunProgram(all);
    EXPECT_EQ(Count(output, "of the average of weights"), name == "trained" ? 0 : 1) << output;
    return ReadFile(At(name) + "/model.safetensors");
  };
  const std::string trained = exported("averaged", "trained", {"--weights", "trained"});
  const std::string averaged = exported("averaged", "default", {});
  EXPECT_EQ(averaged, exported("averaged", "ema", {"--weights", "ema"}));
  EXPECT_EQ(averaged.size(), trained.size());
  EXPECT_FALSE(averaged == trained);
}

TEST(Average, OneThatIsNotThereIsRefused) {
  const std::string none = "/step_00000012: holds no average of weights";
  for (const int ranks : {1, 2})
    ExpectOneError(Ends({"eval", At("plain"), "--weights", "ema"}, ranks), {At("plain") + none});
  ExpectOneError(Ends({"generate", At("plain"), "--prompt", "x", "--weights", "ema"}),
                 {At("plain") + none});
  ExpectOneError(Ends({"calibrate", At("plain"), "--weights", "ema"}), {At("plain") + none});
  ExpectOneError(Ends({"export", At("plain"), "--out", At("no"), "--weights", "ema"}),
                 {At("plain") + none});
  EXPECT_FALSE(fs::exists(At("no")));
  for (const char* command : {"eval", "calibrate"})
    ExpectOneError(Ends({command, At("averaged"), "--weights", "best"}),
                   {"--weights best: expected ema or trained"});
}

TEST(Average, TextsHaveNoOtherLikelihood) {
  ExpectOneError(Ends({"eval", At("plain"), "--likelihood", "2"}),
                 {At("plain") + " is a model of text, whose eval_loss is its likelihood"});
}

TEST(Average, BeginsAndEndsWithAResume) {
  const auto resume = [](const std::string& from, const std::string& ema) {
    fs::copy(At(from), At(from + "_on"), fs::copy_options::recursive);
    return RunProgram({"train", At("config.toml"), "--set", "run.dir=" + At(from + "_on"),
                       "train.steps=12", "optimizer.ema=" + ema, "train.steps=14"});
  };
  const std::string begins = resume("plain", "0.9"), ends = resume("averaged", "0");
  EXPECT_EQ(Count(begins, "[optimizer] ema = 0.9: " + At("plain_on/step_00000012") +
                              " holds no average of weights; it starts as the weights are there"),
            1)
      << begins;
  EXPECT_EQ(Count(ends, "[optimizer] ema = 0: the average of weights in " +
                            At("averaged_on/step_00000012") +
                            " is ignored, and later checkpoints have none"),
            1)
      << ends;
  const auto has_average = [](const std::string& run) {
    return Count(RunProgram({"checkpoint", "inspect", At(run), "--tensor", "embedding"}), "ema/");
  };
  EXPECT_EQ(has_average("plain_on"), 1);
  EXPECT_EQ(has_average("averaged_on"), 0);
  EXPECT_EQ(has_average("averaged"), 1);
}

TEST(Average, StartsARun) {
  const std::string output =
      RunProgram({"train", At("config.toml"), "--set", "run.dir=" + At("started"), "train.steps=5",
                  "run.init_from=" + At("averaged")});
  EXPECT_EQ(Count(output, "starts from the average of weights in " + At("averaged")), 1) << output;
}

TEST(Average, CheckpointCommandsCarryIt) {
  RunProgram({"checkpoint", "reshard", At("averaged"), "--out", At("resharded"), "--data", "2",
              "--tensor", "2"});
  EXPECT_EQ(Count(RunProgram({"checkpoint", "diff", At("averaged"), At("resharded")}),
                  "no tensor differs"),
            1);
  RunProgram({"checkpoint", "verify", At("resharded")});
  const Outcome differ = Ends({"checkpoint", "diff", At("averaged"), At("plain")});
  EXPECT_EQ(differ.exit_code, 3);
  EXPECT_EQ(Count(differ.output, "ema/embedding.weight"), 1) << differ.output;
  EXPECT_EQ(Count(differ.output, "weight/"), 0) << differ.output;
}

}  // namespace
}  // namespace tl
