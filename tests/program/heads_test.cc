// SPDX-License-Identifier: Apache-2.0
// Heads in use, on models trained here: `trunkline generate --speculate heads` writes the text of
// plain decoding, `trunkline calibrate` finds what eval finds, and what it writes is used.
#include <cmath>
#include <tuple>

#include "tests/program/trained_runs.h"

namespace tl {
namespace {

class Runs : public TrainedRuns {
  void TrainAll() override {
    Train("plain", {});
    Train("medusa", {"objective.name=medusa", "objective.heads=3", "objective.freeze_trunk=true",
                     "run.init_from=" + At("plain")});
    Train("independent", {"objective.name=independent_heads", "objective.heads=4"});
    Train("mtp", {"objective.name=sequential_mtp", "objective.depth=1"});
  }
};
const auto* const kRuns = testing::AddGlobalTestEnvironment(new Runs);

struct Generated {
  std::vector<std::string> tokens;  // by sequence
  nlohmann::json report, speculation;
};

Generated Generate(const std::string& run, const Strings& arguments, int ranks = 1) {
  Strings all = {"generate",     run,  "--prompts-from", At("prompts.txt"),
                 "--max-tokens", "40", "--json",         "--report"};
  all.insert(all.end(), arguments.begin(), arguments.end());
  Generated generated;
  for (const nlohmann::json& line : Lines(RunProgram(all, ranks))) {
    if (line["record"] == "report") generated.report = line;
    if (line["record"] == "speculation") generated.speculation = line;
    if (line["record"] != "sequence") continue;
    const auto at = line["sequence"].get<size_t>();
    if (generated.tokens.size() <= at) generated.tokens.resize(at + 1);
    generated.tokens[at] = line["tokens"].dump();
  }
  return generated;
}

TEST(Heads, KeepTheTextAndSavePasses) {
  for (const char* name : {"medusa", "independent"}) {
    for (const char* temperature : {"0", "0.9"}) {
      const Strings base = {"--temperature", temperature};
      const auto with = [&](const Strings& more, int ranks = 1) {
        Strings all = base;
        all.insert(all.end(), more.begin(), more.end());
        return Generate(At(name), all, ranks);
      };
      const auto plain = with({}).tokens;
      ASSERT_EQ(plain.size(), 4u);
      for (const Strings& more :
           {Strings{"--speculate", "heads", "--verify", "match", "--tree", "chain"},
            Strings{"--speculate", "heads", "--tree", "4x2x1", "--batch", "3"}}) {
        const Generated drafted = with(more);
        EXPECT_EQ(drafted.tokens, plain) << name << " T " << temperature;
        EXPECT_EQ(drafted.report["same_text"], 4);
        const bool tree = drafted.report["tree_nodes"] > 0;
        EXPECT_GT(drafted.report["decoding"]["tau"], tree ? 1.3 : 1.02)
            << name << " T " << temperature;
        EXPECT_EQ(drafted.report["acceptance_conditional"].size(), 3u);
      }
    }
  }
}

TEST(Heads, ModulesKeepTheTextAndSavePasses) {
  for (const int ranks : {1, 2}) {
    const std::string tensor = "parallel.tensor=" + std::to_string(ranks);
    const auto plain = Generate(At("mtp"), {"--temperature", "0", "--set", tensor}, ranks);
    ASSERT_EQ(plain.tokens.size(), 4u);
    const Generated drafted = Generate(
        At("mtp"), {"--temperature", "0", "--speculate", "mtp", "--batch", "3", "--set", tensor},
        ranks);
    EXPECT_EQ(drafted.tokens, plain.tokens) << ranks;
    EXPECT_GT(drafted.report["decoding"]["tau"], 1.02) << ranks;
  }
}

TEST(Heads, AreExported) {
  for (const auto& [name, format, file] : {std::tuple("medusa", "medusa", "config.json"),
                                           std::tuple("medusa", "medusa-original", "config.json"),
                                           std::tuple("mtp", "mimo", "config.json")}) {
    const std::string out = At(std::string("exported-") + format);
    RunProgram({"export", At(name), "--format", format, "--out", out});
    EXPECT_FALSE(ReadFile(out + "/" + file).empty()) << format;
  }
}

TEST(Heads, TwoRanksAgree) {
  for (const char* name : {"medusa", "independent"}) {
    const Strings base = {"--temperature", "0", "--set", "parallel.tensor=2"};
    Strings drafted = base;
    drafted.insert(drafted.end(), {"--speculate", "heads", "--tree", "4x2x1", "--batch", "4"});
    const auto plain = Generate(At(name), base, 2).tokens;
    ASSERT_EQ(plain.size(), 4u);
    EXPECT_EQ(Generate(At(name), drafted, 2).tokens, plain) << name;
  }
}

// Acceptance along the likeliest tokens, as eval prints it in its column of tokens reached; NaN
// where none were.
std::vector<double> EvalAlphas(const std::string& output) {
  std::vector<double> alphas;
  for (int head = 2;; ++head) {
    const size_t line = output.find("token_" + std::to_string(head));
    if (line == std::string::npos) return alphas;
    char alpha[32] = "";
    EXPECT_EQ(std::sscanf(output.c_str() + line, "%*s %*f %*f %*f %31s of", alpha), 1) << output;
    alphas.push_back(std::string(alpha) == "-" ? std::nan("") : std::atof(alpha));
  }
}

TEST(Calibrate, FindsWhatEvalFindsAndIsUsed) {
  for (const char* name : {"medusa", "independent"}) {
    const std::string out = RunProgram({"calibrate", At(name), "--tokens", "1000000"});
    for (const char* part : {"head 1 ", "best tree: ", "none: tau 1.000", "lookup: tau ",
                             "heads in a chain of ", "fastest: ", "/calibration.json"})
      EXPECT_NE(out.find(part), std::string::npos) << part << "\n" << out;
    const auto file = nlohmann::json::parse(ReadFile(At(name) + "/calibration.json"));
    const std::vector<double> alphas = EvalAlphas(RunProgram({"eval", At(name)}));
    ASSERT_EQ(file["heads"].size(), alphas.size());
    for (size_t k = 0; k < alphas.size(); ++k) {
      const nlohmann::json& alpha = file["heads"][k]["acceptance_in_chain"];
      EXPECT_EQ(alpha.is_null(), std::isnan(alphas[k])) << name << " " << k;
      if (alpha.is_null()) continue;
      EXPECT_NEAR(alpha, alphas[k], 2e-3) << name << " " << k;
    }
    EXPECT_EQ(file["verify_ms"].size(), 64u);

    const auto plain = Generate(At(name), {"--temperature", "0"}).tokens;
    const Generated chosen = Generate(At(name), {"--temperature", "0", "--speculate", "auto"});
    EXPECT_EQ(chosen.tokens, plain);
    EXPECT_EQ(chosen.report["drafter"], file["fastest"]);
    const std::string why = chosen.speculation["why"];
    EXPECT_EQ(why.find("--speculate auto: " + file["fastest"].get<std::string>()), 0u) << why;

    // A tree of a size of one's own, in a file of its own.
    RunProgram(
        {"calibrate", At(name), "--nodes", "5", "--out", At("five.json"), "--tokens", "2000"});
    const Generated five = Generate(
        At(name), {"--temperature", "0", "--speculate", "heads", "--tree", At("five.json")});
    EXPECT_EQ(five.tokens, plain);
    EXPECT_EQ(five.report["tree_nodes"], 5);
  }
}

TEST(Calibrate, ModelsWithoutHeadsHaveOtherDrafters) {
  const std::string out = RunProgram({"calibrate", At("plain"), "--out", At("plain.json")});
  EXPECT_EQ(out.find("head 1"), std::string::npos) << out;
  for (const char* part : {"none: tau 1.000", "lookup: tau ", "early-exit: tau ", "fastest: "})
    EXPECT_NE(out.find(part), std::string::npos) << part << "\n" << out;
}

struct Refusal {
  Strings arguments;
  Strings parts;
};

TEST(Heads, RefuseWhatDoesNotFit) {
  WriteFile(At("bad.json"), "{\"format\": \"trunkline calibration 1\"}");
  const Strings heads = {"generate", At("medusa"), "--prompt", "x", "--speculate", "heads"};
  const auto with = [&](const Strings& more) {
    Strings all = heads;
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  const Refusal refusals[] = {
      {with({"--tree", "2x0"}), {"--tree 2x0: expected numbers of tokens"}},
      {with({"--tree", "1x1x1x1"}), {"a tree of depth 4, but the model has 3 heads that draft"}},
      {with({"--tree", "20x20"}), {"--tree 20x20", "at most 127 nodes"}},
      {with({"--tree", At("none.json")}), {"--tree: expected chain", "none.json"}},
      {with({"--tree", At("bad.json")}), {"--tree: ", "bad.json: checkpoint: expected a string"}},
      {with({"--tree", "4x2", "--verify", "rejection"}),
       {"heads in a tree drafts are as well off"}},
      {{"generate", At("plain"), "--prompt", "x", "--speculate", "heads"},
       {"expected a model of independent_heads or medusa", "next_token"}},
      {{"generate", At("plain"), "--prompt", "x", "--speculate", "auto"},
       {"there is no ", "plain/calibration.json; trunkline calibrate "}},
      {{"generate", At("plain"), "--prompt", "x", "--speculate", "lookup", "--tree", "2x2"},
       {"--tree is for --speculate heads"}},
      {{"calibrate", At("medusa"), "--nodes", "128"}, {"--nodes 128: expected fewer than 128"}},
      {{"calibrate", At("medusa"), "--data", At("none.tok")}, {"none.tok"}},
      {{"calibrate", At("nowhere")}, {"nowhere"}},
  };
  for (const Refusal& refusal : refusals)
    ExpectOneError(RunShell(ProgramLine(1, refusal.arguments), kSeconds), refusal.parts);
}

}  // namespace
}  // namespace tl
