// SPDX-License-Identifier: Apache-2.0
// `trunkline generate` on a model that it trained itself: batches, stdin, JSON, drafters and ranks
// change how fast the text comes, not the text.
#include "tests/program/trained_runs.h"

namespace tl {
namespace {

class Runs : public TrainedRuns {
  void TrainAll() override {
    Train("run", {"model.layers=3"});
    Train("small", {"model.layers=1"});
    Train("one_head", {"model.layers=1", "model.heads=1", "train.steps=5"});
  }
};
const auto* const kRuns = testing::AddGlobalTestEnvironment(new Runs);

std::string Generate(const Strings& arguments, int ranks = 1, const std::string& after = "") {
  Strings all = {"generate", At("run"), "--max-tokens", "60", "--seed", "5"};
  all.insert(all.end(), arguments.begin(), arguments.end());
  return RunProgram(all, ranks, after);
}

// The text and the tokens of each prompt.
std::vector<std::pair<std::string, std::string>> Texts(const std::string& output) {
  std::vector<std::pair<std::string, std::string>> texts;
  for (const nlohmann::json& line : Lines(output)) {
    if (line["record"] != "sequence") continue;
    const auto at = line["sequence"].get<size_t>();
    if (texts.size() <= at) texts.resize(at + 1);
    texts[at] = {line["text"], line["tokens"].dump()};
  }
  return texts;
}

TEST(Generate, ContinuesAPrompt) {
  const std::string output = Generate({"--prompt", "In the", "--temperature", "0"});
  EXPECT_EQ(output.substr(0, 6), "In the") << output;
  EXPECT_EQ(output.size(), std::string("In the").size() + 60 + 1) << output;
  EXPECT_EQ(output.back(), '\n');
}

TEST(Generate, BatchesStdinAndDraftersKeepTheText) {
  for (const char* temperature : {"0", "0.9"}) {
    const Strings base = {"--prompts-from", At("prompts.txt"), "--json", "--temperature",
                          temperature};
    const auto with = [&](const Strings& more) {
      Strings all = base;
      all.insert(all.end(), more.begin(), more.end());
      return all;
    };
    const auto plain = Texts(Generate(base));
    ASSERT_EQ(plain.size(), 4u);
    EXPECT_EQ(Texts(Generate(with({"--batch", "3"}))), plain);
    EXPECT_EQ(Texts(Generate({"--prompts-from", "-", "--json", "--temperature", temperature}, 1,
                             " < " + Quote(At("prompts.txt")))),
              plain);
    EXPECT_EQ(Texts(Generate(with(
                  {"--batch", "2", "--speculate", "lookup", "--drafts", "9", "--branches", "2"}))),
              plain);
    EXPECT_EQ(Texts(Generate(with({"--speculate", "draft-model", "--draft-model", At("small"),
                                   "--verify", "match"}))),
              plain);
    EXPECT_EQ(Texts(Generate(with({"--batch", "4", "--speculate", "early-exit", "--exit-layer", "2",
                                   "--verify", "match"}))),
              plain);
  }
}

TEST(Generate, TwoRanksAgree) {
  const Strings base = {"--prompts-from",   "-", "--json", "--temperature", "0", "--set",
                        "parallel.tensor=2"};
  Strings drafted = base;
  drafted.insert(drafted.end(), {"--speculate", "lookup", "--batch", "4"});
  const std::string in = " < " + Quote(At("prompts.txt"));
  const auto plain = Texts(Generate(base, 2, in));
  ASSERT_EQ(plain.size(), 4u);
  EXPECT_EQ(Texts(Generate(drafted, 2, in)), plain);
}

TEST(Generate, JsonHasPassesAndAReport) {
  const auto lines = Lines(Generate({"--prompt", "God", "--temperature", "0", "--json", "--stream",
                                     "--report", "--speculate", "lookup"}));
  std::string text, whole;
  int64_t tokens = 0, passes = 0, accepted = 0;
  nlohmann::json report;
  for (const nlohmann::json& line : lines) {
    if (line["record"] == "pass") {
      text += line["text"].get<std::string>();
      tokens += static_cast<int64_t>(line["tokens"].size());
      accepted += line["accepted"].get<int64_t>();
      ++passes;
    }
    if (line["record"] == "sequence") {
      whole = line["text"];
      EXPECT_EQ(line["stop"], "length");
      EXPECT_EQ(line["passes"], passes);
    }
    if (line["record"] == "report") report = line;
  }
  EXPECT_EQ(text, whole);
  EXPECT_EQ(tokens, 60);
  EXPECT_EQ(tokens, passes + accepted);
  ASSERT_FALSE(report.is_null());
  EXPECT_EQ(report["same_text"], 1);
  EXPECT_EQ(report["decoding"]["tokens"], 60);
  EXPECT_EQ(report["decoding"]["passes"], passes);
  EXPECT_DOUBLE_EQ(report["decoding"]["tau"].get<double>(), 60.0 / static_cast<double>(passes));
  EXPECT_EQ(report["plain"]["passes"], 60);
  EXPECT_TRUE(report["lossless"].get<bool>());
}

// A byte model that draws from a flat distribution writes parts of characters all the time.
TEST(Generate, StreamedPiecesMakeUpTheText) {
  std::map<int64_t, std::string> pieces;
  int64_t replaced = 0, whole = 0;
  for (const nlohmann::json& line :
       Lines(Generate({"--prompts-from", At("prompts.txt"), "--temperature", "30", "--json",
                       "--stream", "--batch", "2"}))) {
    const auto id = line["sequence"].get<int64_t>();
    const auto text = line["text"].get<std::string>();
    if (line["record"] == "pass") {
      pieces[id] += text;
    } else {
      EXPECT_EQ(pieces[id], text);
      ++whole;
      replaced += Count(text, "\xEF\xBF\xBD");
    }
  }
  EXPECT_EQ(whole, 4);
  EXPECT_GT(replaced, 40);
}

TEST(Generate, EndsBeforeAStopString) {
  const std::string all = Generate({"--prompt", "In the", "--temperature", "0.9"});
  const std::string stop = all.substr(40, 4);
  const std::string cut = all.substr(0, all.find(stop, 6)) + "\n";
  for (const char* speculate : {"none", "lookup"})
    EXPECT_EQ(Generate({"--prompt", "In the", "--temperature", "0.9", "--stop", "nowhere", "--stop",
                        stop, "--speculate", speculate}),
              cut)
        << stop;
}

// What drafts wrote behind a stop string is no gain.
TEST(Generate, ReportCountsUpToAStopString) {
  const Strings base = {"--prompts-from", At("prompts.txt"), "--temperature", "0", "--json"};
  const auto whole = Texts(Generate(base));
  Strings all = base;
  all.insert(all.end(), {"--report", "--speculate", "lookup", "--drafts", "9", "--batch", "2"});
  for (const auto& [text, ids] : whole) all.insert(all.end(), {"--stop", text.substr(33, 4)});
  int64_t tokens = 0, passes = 0, drafted = 0, stopped = 0;
  for (const nlohmann::json& line : Lines(Generate(all))) {
    if (line["record"] == "sequence") {
      stopped += line["stop"] == "stop" ? 1 : 0;
      tokens += static_cast<int64_t>(line["tokens"].size());
      passes += line["passes"].get<int64_t>();
      drafted += line["drafted"].get<int64_t>();
    } else {
      EXPECT_EQ(line["decoding"]["tokens"], tokens);
      EXPECT_EQ(line["decoding"]["sequence_passes"], passes);
      EXPECT_EQ(line["drafted"], drafted);
      EXPECT_EQ(line["plain"]["tokens"], tokens);
      EXPECT_EQ(line["same_text"], 4);
    }
  }
  EXPECT_LT(passes, tokens);
  EXPECT_GE(stopped, 3);  // without a prompt there may be one byte alone
}

TEST(Generate, ReportTellsWhatWasWon) {
  const std::string output = Generate({"--prompt", "In the", "--temperature", "0.8", "--report",
                                       "--speculate", "early-exit", "--verify", "typical"});
  for (const char* part : {"60 tokens of 1 sequences in",
                           "drafts by early-exit, verified by "
                           "typical (not lossless)",
                           "tau ", "position 1: accepted ", "predicted"})
    EXPECT_NE(output.find(part), std::string::npos) << part << "\n" << output;
}

TEST(Generate, ADraftModelMustFitTheGrid) {
  Strings all = {"generate",    At("run"),       "--prompt",     "x",     "--speculate",
                 "draft-model", "--draft-model", At("one_head"), "--set", "parallel.tensor=2"};
  ExpectOneError(RunShell(ProgramLine(2, all), kSeconds),
                 {At("one_head") + "/config.toml", "[model] heads"});
}

// A run of before folders had a tokenizer of their own: any token file of it tells which.
TEST(Generate, OfAnOlderRunNeedsOnlyOneOfTheTokenFiles) {
  namespace fs = std::filesystem;
  fs::copy(At("run"), At("older"), fs::copy_options::recursive);
  fs::remove_all(At("older/tokenizer"));
  fs::remove_all(At("older/step_00000040/tokenizer"));
  const auto older = [](const Strings& sets) {
    Strings all = {"generate", At("older"), "--max-tokens",  "60", "--seed", "5",
                   "--prompt", "In the",    "--temperature", "0",  "--set"};
    all.insert(all.end(), sets.begin(), sets.end());
    return RunShell(ProgramLine(1, all), kSeconds);
  };
  EXPECT_EQ(older({"data.train=" + At("gone.tok")}).output,
            Generate({"--prompt", "In the", "--temperature", "0"}));
  ExpectOneError(
      older({"data.train=" + At("gone.tok"), "data.eval=" + At("away.tok")}),
      {At("older") + ": expected a tokenizer in this folder", At("gone.tok"), At("away.tok")});
}

struct Refusal {
  Strings arguments;
  Strings parts;
};

TEST(Generate, RefusesWhatDoesNotFit) {
  const Refusal refusals[] = {
      {{}, {"--prompt or --prompts-from is required"}},
      {{"--prompt", "x", "--prompts-from", "-"}, {"--prompt and --prompts-from"}},
      {{"--prompts-from", At("none.txt")}, {"--prompts-from", "/none.txt: cannot open"}},
      {{"--prompts-from", "-"}, {"--prompts-from -: expected a prompt per line, found none"}},
      {{"--prompt", "x", "--speculate", "crystal-ball"},
       {"--speculate crystal-ball: expected one of none, lookup, draft-model, early-exit, mtp, "
        "heads"}},
      {{"--prompt", "x", "--speculate", "lookup", "--verify", "rejection"},
       {"--verify rejection needs drafts that are sampled"}},
      {{"--prompt", "x", "--verify", "exact"}, {"--verify exact", "match, rejection, typical"}},
      {{"--prompt", "x", "--speculate", "draft-model"}, {"--draft-model"}},
      {{"--prompt", "x", "--draft-model", At("small")}, {"--speculate draft-model"}},
      {{"--prompt", "x", "--speculate", "early-exit", "--exit-layer", "3"},
       {"--exit-layer 3: expected fewer than the model's 3 layers"}},
      {{"--prompt", "x", "--branches", "2"}, {"--branches is for --speculate lookup"}},
      {{"--prompt", "x", "--top-p", "1.5"}, {"--top-p 1.5"}},
      {{"--prompt", "x", "--speculate", "lookup", "--drafts", "128"}, {"--drafts 128", "128"}},
      {{"--prompt", "x", "--stop", ""}, {"--stop"}},
      {{"--prompts-from", At("prompts.txt"), "--stream"}, {"--stream", "--json"}},
  };
  for (const Refusal& refusal : refusals) {
    Strings all = {"generate", At("run")};
    all.insert(all.end(), refusal.arguments.begin(), refusal.arguments.end());
    ExpectOneError(RunShell(ProgramLine(1, all), kSeconds), refusal.parts);
  }
}

}  // namespace
}  // namespace tl
