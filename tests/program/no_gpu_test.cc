// SPDX-License-Identifier: Apache-2.0
// The program on a machine without a GPU: it says so, and its CPU path is unaffected.
#include "device/cuda.h"
#include "tests/data/temp_folder.h"
#include "tests/program/job.h"

namespace tl {
namespace {

class NoGpu : public testing::Test {
 protected:
  void SetUp() override {
    if (cuda::DeviceCount() > 0) GTEST_SKIP() << "there is a GPU";
    SetJobEnvironment();
    config_ = Folder() + "/tiny.toml";
    WriteFile(config_,
              "[model]\nlayers = 1\nhidden = 64\nheads = 2\nffn = 96\nvocab = 256\n"
              "[data]\ntrain = \"none.tok\"\n"
              "[train]\nsteps = 2\nsequence_length = 16\nglobal_batch_size = 4\n"
              "micro_batch_size = 2\n[optimizer]\nwarmup_steps = 1\n");
  }
  Outcome Bench(int ranks, const std::vector<std::string>& settings) {
    std::vector<std::string> arguments = {"bench", config_, "--steps", "1", "--warmup", "0"};
    for (const std::string& s : settings) arguments.insert(arguments.end(), {"--set", s});
    return RunShell(ProgramLine(ranks, arguments), 60);
  }
  std::string config_;
};

TEST_F(NoGpu, InfoNamesWhatIsAbsent) {
  const Outcome info = RunShell(ProgramLine(1, {"info"}), 60);
  EXPECT_EQ(info.exit_code, 0);
  EXPECT_EQ(Count(info.output, "cuda           none: " + cuda::GetPlatform().absent), 1)
      << info.output;
  if (cuda::GetPlatform().toolkit > 0) {
    EXPECT_EQ(Count(info.output, "\n  NCCL "), 1) << info.output;
    EXPECT_EQ(Count(info.output, "\n  cuBLASLt "), 1) << info.output;
  }
}

TEST_F(NoGpu, TheCpuIsUsedByItself) {
  for (const int ranks : {1, 2}) {
    for (const char* device : {"run.device=auto", "run.device=cpu"}) {
      const Outcome outcome = Bench(ranks, {device});
      EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
    }
  }
}

TEST_F(NoGpu, WhatNeedsAGpuIsRefused) {
  const std::string absent = cuda::GetPlatform().absent;
  for (const int ranks : {1, 2}) {
    ExpectOneError(Bench(ranks, {"run.device=cuda"}), {"[run] device = \"cuda\"", absent});
    ExpectOneError(Bench(ranks, {"parallel.transport=nccl"}),
                   {"[parallel] transport = \"nccl\"", absent});
  }
}

}  // namespace
}  // namespace tl
