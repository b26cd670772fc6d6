// Heads in use, on models trained here: `trunkline generate --speculate heads` writes the text of
// plain decoding, `trunkline calibrate` finds what eval finds, and what it writes is used.
#include <cmath>

#include "data/tokenize.h"
#include "nlohmann/json.hpp"
#include "tests/data/temp_folder.h"
#include "tests/program/job.h"

namespace tl {
namespace {

using Strings = std::vector<std::string>;

constexpr int kSeconds = 120;

std::string At(const std::string& name) { return Folder() + "/" + name; }

std::string RunProgram(const Strings& arguments, int ranks = 1) {
  const Outcome outcome = RunShell(ProgramLine(ranks, arguments), kSeconds);
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  return outcome.output;
}

class Runs : public testing::Environment {
 public:
  void SetUp() override {
    SetJobEnvironment();
    std::string text;
    for (int i = 0; i < 600; ++i)
      text += "In the beginning God created the heaven and the earth " + std::to_string(i % 7) +
              " times.\n";
    WriteFile(At("text.txt"), text);
    ASSERT_TRUE(TokenizeFiles({.texts = {At("text.txt")},
                               .out = At("train.tok"),
                               .holdout = 0.1,
                               .holdout_out = At("eval.tok")})
                    .ok());
    WriteFile(At("prompts.txt"), "In the\nGod \n\nand the ear\n");
    WriteFile(At("config.toml"),
              "[model]\nlayers = 2\nhidden = 64\nheads = 2\nffn = 96\n"
              "vocab = 256\n[data]\ntrain = \"" +
                  At("train.tok") + "\"\neval = \"" + At("eval.tok") +
                  "\"\n[train]\nsteps = 40\nsequence_length = 48\n"
                  "global_batch_size = 8\nmicro_batch_size = 8\n"
                  "eval_batches = 1\n[optimizer]\nlr = 1e-2\n"
                  "warmup_steps = 5\n");
    Train("plain", {});
    Train("medusa", {"objective.name=medusa", "objective.heads=3", "objective.freeze_trunk=true",
                     "run.init_from=" + At("plain")});
    Train("independent", {"objective.name=independent_heads", "objective.heads=4"});
  }

 private:
  static void Train(const std::string& name, const Strings& sets) {
    Strings all = {"train", At("config.toml"), "--set", "run.dir=" + At(name)};
    all.insert(all.end(), sets.begin(), sets.end());
    RunProgram(all);
  }
};
const auto* const kRuns = testing::AddGlobalTestEnvironment(new Runs);

std::vector<nlohmann::json> Lines(const std::string& output) {
  std::vector<nlohmann::json> lines;
  for (size_t begin = 0; begin < output.size();) {
    const size_t end = output.find('\n', begin);
    lines.push_back(nlohmann::json::parse(output.substr(begin, end - begin), nullptr, false));
    EXPECT_FALSE(lines.back().is_discarded()) << output.substr(begin, end - begin);
    begin = end + 1;
  }
  return lines;
}

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
