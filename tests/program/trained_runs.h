// SPDX-License-Identifier: Apache-2.0
// Small models of a text that repeats itself, trained by the program, for tests of what is done
// with them.
#pragma once

#include <string>
#include <vector>

#include "nlohmann/json.hpp"
#include "tests/data/temp_folder.h"
#include "tests/program/job.h"
#include "tests/program/token_files.h"

namespace tl {

using Strings = std::vector<std::string>;

constexpr int kSeconds = 120;

inline std::string At(const std::string& name) { return Folder() + "/" + name; }

// after: what follows in the shell's line.
inline std::string RunProgram(const Strings& arguments, int ranks = 1,
                              const std::string& after = "") {
  const Outcome outcome = RunShell(ProgramLine(ranks, arguments) + after, kSeconds);
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  return outcome.output;
}

class TrainedRuns : public testing::Environment {
 public:
  // Token files, prompts.txt with four prompts, and config.toml, a model of two layers.
  void SetUp() override {
    SetJobEnvironment();
    std::string text;
    for (int i = 0; i < 600; ++i)
      text += "In the beginning God created the heaven and the earth " + std::to_string(i % 7) +
              " times.\n";
    MakeTokenFiles(Folder(), text);
    WriteFile(At("prompts.txt"), "In the\nGod \n\nand the ear\n");
    WriteFile(At("config.toml"),
              "[model]\nlayers = 2\nhidden = 64\nheads = 2\nffn = 96\n"
              "vocab = 256\n[data]\ntrain = \"" +
                  At("train.tok") + "\"\neval = \"" + At("eval.tok") +
                  "\"\n[train]\nsteps = 40\nsequence_length = 48\n"
                  "global_batch_size = 8\nmicro_batch_size = 8\n"
                  "eval_batches = 1\n[optimizer]\nlr = 1e-2\n"
                  "warmup_steps = 5\n");
    TrainAll();
  }

 protected:
  virtual void TrainAll() = 0;
  // The run At(name).
  static void Train(const std::string& name, const Strings& sets) {
    Strings all = {"train", At("config.toml"), "--set", "run.dir=" + At(name)};
    all.insert(all.end(), sets.begin(), sets.end());
    RunProgram(all);
  }
};

// What the program printed with --json.
inline std::vector<nlohmann::json> Lines(const std::string& output) {
  std::vector<nlohmann::json> lines;
  for (size_t begin = 0; begin < output.size();) {
    const size_t end = output.find('\n', begin);
    lines.push_back(nlohmann::json::parse(output.substr(begin, end - begin), nullptr, false));
    EXPECT_FALSE(lines.back().is_discarded()) << output.substr(begin, end - begin);
    begin = end + 1;
  }
  return lines;
}

}  // namespace tl
