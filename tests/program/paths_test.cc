// SPDX-License-Identifier: Apache-2.0
// The program with paths that shells and people write.
#include "tests/program/trained_runs.h"

namespace tl {
namespace {

class Home : public TrainedRuns {
  void TrainAll() override {}
};
const auto* const kHome = testing::AddGlobalTestEnvironment(new Home);

TEST(Paths, AConfigOfAnyNameAndAFolderAtHome) {
  const std::string config = At("m\xFCller.toml"), cwd = At("cwd");
  WriteFile(config, ReadFile(At("config.toml")));
  std::filesystem::create_directories(cwd);
  const auto run = [&](const Strings& arguments) {
    return RunShell(
        "cd " + Quote(cwd) + " && HOME=" + Quote(Folder()) + " " + ProgramLine(1, arguments),
        kSeconds);
  };
  ExpectOneError(run({"train", config}), {"m\\xfcller.toml: [run] dir is not given", "UTF-8"});
  const Outcome trained =
      run({"train", config, "--set", "run.dir=~/run", "data.train=~/train.tok", "train.steps=5"});
  EXPECT_EQ(trained.exit_code, 0) << trained.output;
  Lines(ReadFile(At("run/metrics.jsonl")));
  EXPECT_TRUE(nlohmann::json::accept(ReadFile(At("run/step_00000005/manifest.json"))));
  const Outcome generated = run({"generate", "~/run", "--prompt", "x", "--max-tokens", "1"});
  EXPECT_EQ(generated.exit_code, 0) << generated.output;
  const Outcome exported = run({"export", "~/run", "--format", "hf", "--out=~/exported"});
  EXPECT_EQ(exported.exit_code, 0) << exported.output;
  EXPECT_TRUE(std::filesystem::exists(At("exported/config.json")));
  EXPECT_TRUE(Snapshot(cwd).empty());
}

}  // namespace
}  // namespace tl
