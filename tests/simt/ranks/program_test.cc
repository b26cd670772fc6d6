// SPDX-License-Identifier: Apache-2.0
// The program itself on the SIMT test machine: training on several ranks over NCCL's stand-in and
// staged, what it says where ranks and GPUs do not match, and how a job ends whose NCCL fails.
#include <cmath>

#include "nlohmann/json.hpp"
#include "tests/data/temp_folder.h"
#include "tests/program/job.h"

namespace tl {
namespace {

constexpr int kSeconds = 300;  // a loaded machine takes several times as long

class SimtProgram : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    SetJobEnvironment();
    std::string text;
    for (int i = 0; i < 300; ++i) text += "line " + std::to_string(i * 7919 % 1000) + " of it\n";
    WriteFile(Folder() + "/text.txt", text);
    const Outcome made = RunShell(ProgramLine(1, {"tokenize", "--tokenizer", "bytes", "--out",
                                                  Folder() + "/train.tok", Folder() + "/text.txt"}),
                                  60);
    ASSERT_EQ(made.exit_code, 0) << made.output;
    WriteFile(Folder() + "/tiny.toml",
              "[model]\nlayers = 1\nhidden = 64\nheads = 2\nffn = 64\nvocab = 256\n"
              "[data]\ntrain = \"" +
                  Folder() +
                  "/train.tok\"\n"
                  "[train]\nsteps = 3\nsequence_length = 16\nglobal_batch_size = 4\n"
                  "micro_batch_size = 1\n[optimizer]\nlr = 3e-3\nwarmup_steps = 1\n");
  }

  // The program on the CPU; with so many devices, that of the SIMT machine on them.
  static Outcome Run(int ranks, int devices, const std::vector<std::string>& arguments,
                     const std::string& environment = "") {
    const bool simt = devices > 0;
    std::string line =
        environment + " TL_SIMT_DEVICES=" + std::to_string(devices) +
        " mpirun --oversubscribe -n " + std::to_string(ranks) + " " +
        Quote(TL_BINARY_DIR + std::string(simt ? "/tests/simt_trunkline" : "/trunkline"));
    for (const std::string& argument : arguments) line += " " + Quote(argument);
    return RunShell(line + " --set run.device=" + (simt ? "cuda" : "cpu"), kSeconds);
  }
  static Outcome Train(const std::string& run, int ranks, int devices,
                       const std::vector<std::string>& settings,
                       const std::string& environment = "") {
    std::vector<std::string> arguments = {"train", Folder() + "/tiny.toml", "--set",
                                          "run.dir=" + Folder() + "/" + run};
    for (const std::string& s : settings) arguments.insert(arguments.end(), {"--set", s});
    return Run(ranks, devices, arguments, environment);
  }

  static std::vector<double> Losses(const std::string& run) {
    std::vector<double> losses;
    std::istringstream lines(ReadFile(Folder() + "/" + run + "/metrics.jsonl"));
    for (std::string line; std::getline(lines, line);) {
      const auto row = nlohmann::json::parse(line);
      if (row.contains("loss")) losses.push_back(row["loss"]);
    }
    return losses;
  }
};

TEST_F(SimtProgram, TrainsToTheLossesOfTheCpu) {
  ASSERT_EQ(Train("cpu", 1, 0, {}).exit_code, 0);
  const std::vector<double> cpu = Losses("cpu");
  ASSERT_EQ(cpu.size(), 3u);
  struct Case {
    const char* name;
    int ranks, devices;
    std::vector<std::string> settings;
    const char* says;
  };
  const Case cases[] = {{"one", 1, 1, {}, "SIMT test machine, whose speed means nothing (cuda:0)"},
                        {"nccl", 4, 4, {"parallel.tensor=2"}, "NCCL 2.28.9"},
                        {"rings", 2, 2, {"run.deterministic=true"}, "NCCL 2.28.9 (rings)"},
                        {"staged",
                         4,
                         1,
                         {"parallel.tensor=2", "parallel.transport=staged"},
                         "shared by 4 ranks, staged through the host"}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    const Outcome outcome = Train(c.name, c.ranks, c.devices, c.settings);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
    EXPECT_EQ(Count(outcome.output, c.says), 1) << outcome.output;
    EXPECT_EQ(Count(outcome.output, "scratch of kernels and cuBLASLt"), 1) << outcome.output;
    EXPECT_EQ(Count(outcome.output, "CUDA's context and code (estimate)"), 1) << outcome.output;
    EXPECT_EQ(Count(outcome.output, " after the first step: "), 1) << outcome.output;
    EXPECT_EQ(Count(outcome.output, "too small"), 0) << outcome.output;
    const std::vector<double> losses = Losses(c.name);
    ASSERT_EQ(losses.size(), cpu.size());
    for (size_t i = 0; i < cpu.size(); ++i) EXPECT_NEAR(losses[i], cpu[i], 1e-5 * cpu[i]) << i;
  }
}

// A run that goes on on another grid, and what is made of it on either device.
TEST_F(SimtProgram, SavesResumesEvaluatesAndGenerates) {
  ASSERT_EQ(Train("stayed", 1, 0, {}).exit_code, 0);
  const std::vector<double> stayed = Losses("stayed");
  Outcome outcome = Train("moved", 4, 4, {"parallel.tensor=2", "run.stop_after=2"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.output;
  ASSERT_EQ(Losses("moved").size(), 2u);
  outcome = Train("moved", 2, 1, {"parallel.transport=staged"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.output;
  const std::vector<double> moved = Losses("moved");
  ASSERT_EQ(moved.size(), stayed.size());
  for (size_t i = 0; i < stayed.size(); ++i)
    EXPECT_NEAR(moved[i], stayed[i], 1e-5 * stayed[i]) << i;

  const auto eval = [](int ranks, int devices) {
    const Outcome done = Run(ranks, devices,
                             {"eval", Folder() + "/moved", "--data", Folder() + "/train.tok",
                              "--batches", "2", "--set", "train.micro_batch_size=1"});
    EXPECT_EQ(done.exit_code, 0) << done.output;
    const size_t at = done.output.find("eval_loss ");
    EXPECT_NE(at, std::string::npos) << done.output;
    return at == std::string::npos ? 0.0 : std::atof(&done.output[at + 10]);
  };
  const double loss = eval(1, 0);
  EXPECT_NEAR(eval(1, 1), loss, 1e-5 * loss);

  const auto generate = [](int ranks, int devices, std::vector<std::string> more) {
    std::vector<std::string> arguments = {
        "generate", Folder() + "/moved", "--prompt", "line 7", "--max-tokens",
        "8",        "--temperature",     "0",        "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Outcome done = Run(ranks, devices, arguments);
    EXPECT_EQ(done.exit_code, 0) << done.output;
    const auto row = nlohmann::json::parse(done.output, nullptr, false);
    EXPECT_FALSE(row.is_discarded()) << done.output;
    return row.is_discarded() ? "" : row["tokens"].dump();
  };
  const std::string tokens = generate(1, 0, {});
  EXPECT_EQ(generate(1, 1, {}), tokens);
  EXPECT_EQ(generate(2, 2, {"--set", "parallel.tensor=2", "--speculate", "lookup"}), tokens);
}

TEST_F(SimtProgram, Benches) {
  const Outcome outcome = Run(1, 1,
                              {"bench", Folder() + "/tiny.toml", "--steps", "2", "--warmup", "1",
                               "--set", "precision.compute=bf16"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  for (const char* row : {"device          SIMT test machine, whose speed means nothing (cuda:0)",
                          "\nphases ", "\nroof ", "\ncopy ", "\nmemory ", "\ndevice memory ",
                          "\nproducts ", "\n    in all, by their calls: ", "\nattention "})
    EXPECT_EQ(Count(outcome.output, row), 1) << row << "\n" << outcome.output;
  // Forward, data and weight gradients of q|k|v, of the output, gate|up, down and the head.
  EXPECT_GE(Count(outcome.output, "bf16 to "), 15) << outcome.output;
  EXPECT_EQ(Count(outcome.output, "of mask 0x2: algorithm") +
                Count(outcome.output, "of mask 0x7: algorithm"),
            Count(outcome.output, "bf16 to "))
      << outcome.output;
}

TEST_F(SimtProgram, SaysWhatToDoWhereRanksAndGpusDoNotMatch) {
  ExpectOneError(Train("none", 4, 2, {}),
                 {"4 ranks of this host, but 2 GPUs", "[parallel] transport = \"staged\""});
  ExpectOneError(Train("none", 2, 1, {}),
                 {"2 ranks see the same GPU alone", "[parallel] transport = \"staged\""});
}

TEST_F(SimtProgram, RefusesWhatTheGpuHasNoMemoryFor) {
  const Outcome outcome =
      Train("none", 2, 2, {"model.hidden=65536", "model.heads=512", "model.ffn=262144"});
  ExpectOneError(
      outcome,
      {"SIMT test machine, whose speed means nothing (cuda:", "of memory available", "weights"});
}

TEST_F(SimtProgram, AnOperationThatNeverEndsEndsTheJob) {
  const Outcome outcome = Train("hang", 2, 2, {"run.watchdog_seconds=8"}, "TL_SIMT_NCCL=hang:1:8");
  EXPECT_EQ(outcome.exit_code, 86) << outcome.output;
  EXPECT_GE(Count(outcome.output, "rank 1 on "), 1) << outcome.output;
  EXPECT_GE(Count(outcome.output, ": NCCL, "), 1) << outcome.output;
  EXPECT_GE(Count(outcome.output, "no progress for "), 1) << outcome.output;
  EXPECT_GE(Count(outcome.output, " bytes, operation "), 1) << outcome.output;
}

// The training's thread asks again and again whether it is through, the watchdog does not.
TEST_F(SimtProgram, ACallThatStaysInProgressEndsTheJob) {
  const Outcome outcome =
      Train("stuck", 1, 1, {"run.watchdog_seconds=8", "parallel.transport=nccl"},
            "TL_SIMT_NCCL=stuck:0:1");
  EXPECT_EQ(outcome.exit_code, 86) << outcome.output;
  EXPECT_GE(Count(outcome.output, ", has not returned; last complete: none"), 1) << outcome.output;
}

TEST_F(SimtProgram, ACommunicatorThatFailsEndsTheJob) {
  const Outcome outcome = Train("error", 2, 2, {}, "TL_SIMT_NCCL=error:1:8");
  EXPECT_EQ(outcome.exit_code, 1) << outcome.output;
  EXPECT_GE(Count(outcome.output, "rank 1 on "), 1) << outcome.output;
  EXPECT_GE(Count(outcome.output, "remote process exited or there was a network error"), 1)
      << outcome.output;
}

}  // namespace
}  // namespace tl
