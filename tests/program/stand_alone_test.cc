// SPDX-License-Identifier: Apache-2.0
// Run folders, checkpoints, copies, resharded ones and imports need nothing beside them: they are
// used from another working directory when the token files are gone. Texts end where the imported
// folder says.
#include <fstream>

#include "tests/program/trained_runs.h"

namespace tl {
namespace {

namespace fs = std::filesystem;

class Runs : public TrainedRuns {
  void TrainAll() override {
    Train("first", {"model.layers=3", "checkpoint.every=20"});
    fs::create_directories(At("elsewhere"));
    fs::rename(At("first"), At("elsewhere/moved"));
    fs::create_directories(At("alone"));
    fs::copy(At("elsewhere/moved/step_00000020"), At("alone/copied"), fs::copy_options::recursive);
    RunProgram({"checkpoint", "reshard", At("elsewhere/moved"), "--out", At("resharded"),
                "--tensor", "2"});
    fs::rename(At("eval.tok"), At("alone/held.tok"));
    fs::remove(At("train.tok"));
  }
};
const auto* const kRuns = testing::AddGlobalTestEnvironment(new Runs);

// From another working directory than the training's.
std::string There(const Strings& arguments) {
  const Outcome outcome =
      RunShell("cd " + Quote(At("elsewhere")) + " && " + ProgramLine(1, arguments), kSeconds);
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  return outcome.output;
}

std::string Text(const std::string& where, const Strings& more = {}) {
  Strings all = {"generate",     where, "--prompt",      "In the",
                 "--max-tokens", "40",  "--temperature", "0"};
  all.insert(all.end(), more.begin(), more.end());
  return There(all);
}

TEST(StandAlone, RunsCheckpointsCopiesAndReshardedOnes) {
  const std::string text = Text("moved");
  EXPECT_EQ(text.substr(0, 6), "In the");
  EXPECT_EQ(Text("moved/step_00000040"), text);
  EXPECT_EQ(Text("../resharded"), text);
  EXPECT_EQ(Text("../resharded/step_00000040/"), text);
  EXPECT_EQ(Text("moved/step_00000020"), Text("../alone/copied"));
  for (const char* file : {"rules.json"})
    EXPECT_TRUE(fs::exists(At("resharded/step_00000040/tokenizer/") + file)) << file;
}

TEST(StandAlone, EvalAndExportTakeACheckpoint) {
  const Strings data = {"--data", At("alone/held.tok")};
  const auto eval = [&](const std::string& where) {
    Strings all = {"eval", where};
    all.insert(all.end(), data.begin(), data.end());
    return There(all);
  };
  const std::string last = eval("moved");
  EXPECT_NE(last.find("eval_loss"), std::string::npos) << last;
  EXPECT_EQ(eval("moved/step_00000040"), last);
  EXPECT_EQ(eval("../resharded"), last);
  EXPECT_NE(eval("moved/step_00000020"), last);
  There({"export", "../alone/copied", "--out", "copied-hf"});
  There({"export", "../resharded", "--format", "gguf", "--out", "resharded-gguf"});
  EXPECT_TRUE(fs::exists(At("elsewhere/copied-hf/tokenizer.json")));
}

// With every drafter, at any of the ends, at the very token.
TEST(StandAlone, TextsEndWhereTheFolderSays) {
  There({"export", "moved", "--out", "hf", "--dtype", "fp32"});
  const std::string whole = Text("moved");
  const std::string made = whole.substr(6, 40);
  // A byte that the text reaches, and one that it does not.
  const char end = made[12];
  std::ofstream(At("elsewhere/hf/generation_config.json"))
      << R"({"eos_token_id": [1, )" << static_cast<int>(end) << "]}";
  There({"import", "hf", "--out", "back"});
  const std::string expected = whole.substr(0, 6 + made.find(end)) + "\n";
  for (const Strings& drafter :
       std::vector<Strings>{{},
                            {"--speculate", "lookup"},
                            {"--speculate", "early-exit"},
                            {"--speculate", "draft-model", "--draft-model", "back"}})
    EXPECT_EQ(Text("back", drafter), expected);
  for (const nlohmann::json& line : Lines(Text("back", {"--json"}))) {
    if (line["record"] != "sequence") continue;
    EXPECT_EQ(line["stop"], "end");
    EXPECT_EQ(line["tokens"].back(), static_cast<int>(end));
  }
  There({"export", "back", "--out", "again"});
  EXPECT_EQ(ReadFile(At("elsewhere/again/generation_config.json")),
            ReadFile(At("elsewhere/hf/generation_config.json")));
}

// Said by generate, tokenize and eval, and added by the first two.
TEST(StandAlone, TheBeginTokenIsAddedWhereTheFolderSaysSo) {
  There({"export", "moved", "--out", "begins", "--dtype", "fp32"});
  std::ofstream(At("elsewhere/begins/tokenizer_config.json"))
      << R"({"bos_token": "!", "eos_token": "$", "add_bos_token": true})";
  There({"import", "begins", "--out", "begun"});
  const std::string told = There(
      {"tokenize", "--tokenizer", "begun", "--out", "begun.tok", At("text.txt"), At("text.txt")});
  EXPECT_NE(told.find("each document begins with ! (33)"), std::string::npos) << told;
  EXPECT_NE(told.find("each document ends with $ (36)"), std::string::npos) << told;
  const std::string loss = There({"eval", "begun", "--data", "begun.tok", "--batches", "1"});
  EXPECT_NE(loss.find("begun.tok: 2 of 2 document(s) begin with ! (33)"), std::string::npos)
      << loss;
  There({"tokenize", "--tokenizer", "begun", "--begin-token", "none", "--out", "plain.tok",
         At("text.txt")});
  EXPECT_NE(There({"eval", "begun", "--data", "plain.tok", "--batches", "1"})
                .find("plain.tok: 0 of 1 document(s) begin"),
            std::string::npos);
  const std::string text = Text("begun");
  EXPECT_NE(text.find("each prompt begins with ! (33)"), std::string::npos) << text;
  // The prompt is shown as it was given.
  const auto lines = Lines(Text("begun", {"--json"}));
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0]["record"], "begin");
  EXPECT_EQ(lines[0]["token"], 33);
  EXPECT_EQ(lines[1]["prompt"], "In the");
  // A prompt that has it gets no other, and so goes on alike.
  const auto with = Lines(There({"generate", "begun", "--prompt", "!In the", "--max-tokens", "40",
                                 "--temperature", "0", "--json"}));
  EXPECT_EQ(with[1]["tokens"], lines[1]["tokens"]);
}

}  // namespace
}  // namespace tl
