// SPDX-License-Identifier: Apache-2.0
// The shipped configs with heads, a few steps of each, as their first lines and
// docs/guides/several-tokens-per-step.md tell to run them, and `trunkline eval` on what comes of it.
#include "tests/data/temp_folder.h"
#include "tests/program/job.h"
#include "tests/program/token_files.h"

namespace tl {
namespace {

using Strings = std::vector<std::string>;

std::string At(const std::string& name) { return Folder() + "/" + name; }

std::string Run(const Strings& arguments) {
  const Outcome outcome = RunShell(ProgramLine(1, arguments), /*seconds=*/300);
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  return outcome.output;
}

// Two steps of a shipped config into the run folder `name`, on less text and shorter sequences.
void Train(const std::string& config, const std::string& name, const Strings& settings = {}) {
  Strings all = {"train", std::string(TL_SOURCE_DIR) + "/configs/" + config + ".toml"};
  Strings sets = {
      "data.train=" + At("train.tok"), "data.eval=" + At("eval.tok"), "train.steps=2",
      "train.sequence_length=32",      "train.global_batch_size=8",   "train.eval_every=0",
      "train.eval_batches=1",          "optimizer.warmup_steps=1",    "run.dir=" + At(name)};
  sets.insert(sets.end(), settings.begin(), settings.end());
  for (const std::string& set : sets) {
    all.push_back("--set");
    all.push_back(set);
  }
  Run(all);
}

// What eval prints of a run, which must have this many heads, each with finite numbers.
std::string Evaluate(const std::string& name, int heads) {
  const std::string output = Run({"eval", At(name)});
  EXPECT_EQ(Count(output, "\nnext_token "), 1) << output;
  for (int offset = 2; offset <= heads + 1; ++offset) {
    EXPECT_EQ(Count(output, "\ntoken_" + std::to_string(offset) + " "), offset <= heads) << output;
  }
  EXPECT_EQ(Count(output, "expected accepted length (tau)"), heads > 1) << output;
  EXPECT_EQ(Count(output, "nan"), 0) << output;
  return output;
}

// The main head's line of the table.
std::string MainHead(const std::string& output) {
  const size_t begin = output.find("\nnext_token ") + 1;
  return output.substr(begin, output.find('\n', begin) - begin);
}

class Heads : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    SetJobEnvironment();
    std::string text;
    for (int i = 0; i < 200; ++i)
      text += "And the evening and the morning were the " + std::to_string(i % 9) + "th day.\n";
    MakeTokenFiles(Folder(), text);
  }
};

TEST_F(Heads, IndependentHeads) {
  Train("independent-heads", "independent", {"objective.curriculum_steps=2"});
  Evaluate("independent", 4);
}

TEST_F(Heads, SequentialMtp) {
  Train("sequential-mtp", "mtp");
  Evaluate("mtp", 3);
}

// A frozen trunk says what it said before.
TEST_F(Heads, SequentialMtpOnAFrozenTrunk) {
  Train("quickstart", "quickstart");
  const std::string trunk = MainHead(Evaluate("quickstart", 1));
  Train("sequential-mtp", "mtp-frozen",
        {"run.init_from=" + At("quickstart"), "objective.freeze_trunk=true"});
  EXPECT_EQ(MainHead(Evaluate("mtp-frozen", 3)), trunk);
}

// Both stages, from the data and from the trunk itself; a frozen trunk says what it said before.
TEST_F(Heads, MedusaStages) {
  Train("quickstart", "quickstart");
  const std::string trunk = MainHead(Evaluate("quickstart", 1));
  const std::string from_trunk = "run.init_from=" + At("quickstart");
  for (const std::string distill : {"false", "true"}) {
    Train("medusa", "medusa-" + distill, {from_trunk, "objective.distill=" + distill});
    EXPECT_EQ(MainHead(Evaluate("medusa-" + distill, 4)), trunk);
  }
  Train("medusa", "joint",
        {"objective.freeze_trunk=false", "run.init_from=" + At("medusa-true"),
         "objective.lr_scale=4", "objective.warmup_steps=40", "optimizer.lr=5e-4"});
  EXPECT_NE(MainHead(Evaluate("joint", 4)), trunk);
}

}  // namespace
}  // namespace tl
