// SPDX-License-Identifier: Apache-2.0
// What the program's commands hold in memory, as the system counts it.
#include <sys/resource.h>
#include <unistd.h>

#include "base/check.h"
#include "base/host_memory.h"
#include "tests/program/trained_runs.h"

namespace tl {
namespace {

// [vocab, hidden], twice: of embedding and unembedding; the rest of the model is small.
constexpr int64_t kVocab = 32768, kHidden = 256;
constexpr int64_t kWeightBytes = 2 * kVocab * kHidden * 4;
const Strings kLarge = {
    "model.hidden=256",          "model.vocab=32768",   "model.heads=4",
    "train.global_batch_size=1", "train.loss_chunk=16", "train.micro_batch_size=1",
    "optimizer.warmup_steps=1",  "train.steps=1",       "model.tie_embeddings=false"};

class Runs : public TrainedRuns {
  void TrainAll() override {
    Train("small", {"train.steps=1", "optimizer.warmup_steps=1", "model.tie_embeddings=false"});
    Train("large", kLarge);
  }
};
const auto* const kRuns = testing::AddGlobalTestEnvironment(new Runs);

// Runs the program in a process whose only child it is, and returns the most that it had resident.
int64_t PeakOf(const Strings& arguments) {
  int ends[2];
  TL_CHECK_EQ(pipe(ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    const Outcome outcome = RunShell("exec " + ProgramLine(1, arguments), kSeconds);
    rusage usage{};
    getrusage(RUSAGE_CHILDREN, &usage);
    const int64_t peak = outcome.exit_code == 0 ? int64_t{usage.ru_maxrss} * 1024 : -1;
    if (peak < 0) std::fprintf(stderr, "%s\n", outcome.output.c_str());
    _exit(write(ends[1], &peak, sizeof(peak)) == sizeof(peak) ? 0 : 1);
  }
  int64_t peak = -1;
  EXPECT_EQ(read(ends[0], &peak, sizeof(peak)), static_cast<ssize_t>(sizeof(peak)));
  int status = 0;
  waitpid(child, &status, 0);
  close(ends[0]);
  close(ends[1]);
  EXPECT_GE(peak, 0);
  return peak;
}

// What a command needs more for the large model than for the small one, in sizes of its weights.
// where: what of the run it is given.
double Growth(const Strings& command, const std::string& where, const Strings& rest) {
  const auto peak = [&](const std::string& run) {
    Strings arguments = command;
    arguments.push_back(At(run) + where);
    for (const std::string& argument : rest)
      arguments.push_back(argument == "OUT" ? At(command[0] + "-" + run) : argument);
    return PeakOf(arguments);
  };
  const double growth = static_cast<double>(peak("large") - peak("small")) / kWeightBytes;
  std::printf("%s: %.2f times the weights\n", command[0].c_str(), growth);
  return growth;
}

// A training holds four times the weights: with their gradients and two moments.
TEST(ResidentMemory, HasNoPlaceForGradientsAndOptimizerWhereNothingIsTrained) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "the sanitizer has memory of its own";
#endif
  // The weights, and on the way one tensor, half of them, from the file.
  EXPECT_LT(Growth({"eval"}, "", {"--batches", "1"}), 2.0);
  EXPECT_LT(Growth({"generate"}, "", {"--prompt", "In", "--max-tokens", "1"}), 2.0);
  // Tensors piece by piece.
  EXPECT_LT(Growth({"export"}, "", {"--format", "hf", "--out", "OUT"}), 0.5);
}

TEST(ResidentMemory, ImportsPieceByPiece) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "the sanitizer has memory of its own";
#endif
  for (const char* run : {"large", "small"})
    RunProgram({"export", At(run), "--format", "hf", "--out", At(std::string("hf-") + run)});
  const auto peak = [](const std::string& run) {
    return PeakOf({"import", At("hf-" + run), "--out", At("imported-" + run)});
  };
  EXPECT_LT(static_cast<double>(peak("large") - peak("small")), 0.5 * kWeightBytes);
}

TEST(MemoryPlan, NamesNoGradientsAndNoOptimizerWhereNothingIsTrained) {
  if (AvailableMemory() == 0) GTEST_SKIP() << "the system does not say its memory";
  const Strings too_long = {"--set", "train.sequence_length=2000000000"};
  const std::vector<std::pair<Strings, std::string>> cases = {
      {{"eval", At("small")}, "activations at least"},
      {{"generate", At("small"), "--prompt", "a", "--max-tokens", "2000000000"}, "activations"}};
  for (const auto& [arguments, part] : cases) {
    Strings all = arguments;
    all.insert(all.end(), too_long.begin(), too_long.end());
    const Outcome outcome = RunShell(ProgramLine(1, all), kSeconds);
    ExpectOneError(outcome, {"memory available", part});
    for (const char* row : {"gradients", "optimizer"})
      EXPECT_EQ(Count(outcome.output, row), 0) << outcome.output;
  }
}

// Of a plan that the system says it has memory for, and then does not give: the plan has been told.
TEST(MemoryPlan, IsPrintedBeforeItsMemoryIsTaken) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "the sanitizer takes more address space than the limit";
#endif
  if (AvailableMemory() < int64_t{8} << 30) GTEST_SKIP() << "too little memory for the plan";
  // 4 GB of logits in an address space of 3 GiB.
  Strings arguments = {"train",
                       At("config.toml"),
                       "--set",
                       "run.dir=" + At("told"),
                       "model.vocab=250000",
                       "model.hidden=32",
                       "model.heads=1",
                       "train.loss_chunk=4000",
                       "train.sequence_length=4000",
                       "train.micro_batch_size=1",
                       "train.global_batch_size=1"};
  const Outcome outcome = RunShell("ulimit -v 3145728; " + ProgramLine(1, arguments), kSeconds);
  EXPECT_NE(outcome.exit_code, 0) << outcome.output;
  const size_t plan = outcome.output.find("  memory      planned per rank\n");
  const size_t end = outcome.output.find("cannot allocate");
  EXPECT_NE(plan, std::string::npos) << outcome.output;
  EXPECT_NE(end, std::string::npos) << outcome.output;
  EXPECT_LT(plan, end) << outcome.output;
}

}  // namespace
}  // namespace tl
