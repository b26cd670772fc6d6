// SPDX-License-Identifier: Apache-2.0
// How jobs end when a rank fails: mpirun runs this program itself, with the failure to act out.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/check.h"
#include "comm/communicator.h"
#include "comm/host.h"

namespace tl {
namespace {

constexpr char kFlag[] = "--act=";

int Act(const std::string& what, int* argc, char*** argv) {
  const auto world = MakeMpiWorld(argc, argv);
  Stream stream = Stream::Cpu();
  const bool failing = world->rank() == 1;
  if (what == "agreed")
    return AgreeOnStatus(*world, failing ? absl::NotFoundError("x") : absl::OkStatus()).ok() ? 0
                                                                                             : 4;
  if (what == "abort" && failing) world->Abort(7);
  TL_CHECK(what != "check" || !failing) << "acted out";
  if (what == "kill" && failing) raise(SIGKILL);
  if (what == "exit" && failing) return 3;
  std::vector<float> x(100'012);
  const int64_t n = what == "small" ? 10 + 2 * world->rank() : 100'000 + 12 * world->rank();
  world->AllReduce(stream, Tensor::Of(x.data(), {n}));
  return 0;
}

struct Outcome {
  int exit_code = 0;
  std::string output;
  double seconds = 0;
};

Outcome RunJob(const std::string& what) {
  // As root mpirun wants to be asked twice; elsewhere the variables mean nothing.
  std::array<char, 4096> path{};
  if (readlink("/proc/self/exe", path.data(), path.size() - 1) <= 0) return {-1, "no path", 0};
  const std::string command =
      "OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 timeout -k 5 60 mpirun "
      "--oversubscribe -n 2 '" +
      std::string(path.data()) + "' " + kFlag + what + " 2>&1";
  const auto start = std::chrono::steady_clock::now();
  FILE* pipe = popen(command.c_str(), "r");
  Outcome outcome;
  std::array<char, 4096> buffer;
  while (const size_t n = fread(buffer.data(), 1, buffer.size(), pipe))
    outcome.output.append(buffer.data(), n);
  const int status = pclose(pipe);
  outcome.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  outcome.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return outcome;
}

void ExpectContains(const Outcome& outcome, const std::string& text) {
  EXPECT_NE(outcome.output.find(text), std::string::npos) << outcome.output;
}

TEST(JobEnds, AbortEndsAllRanksWithItsCode) {
  const Outcome outcome = RunJob("abort");
  EXPECT_EQ(outcome.exit_code, 7) << outcome.output;
  ExpectContains(outcome, "rank 1 on " + HostName() + ": ends all 2 ranks, exit code 7");
}

TEST(JobEnds, FailedCheckEndsAllRanksAndNamesTheRank) {
  const Outcome outcome = RunJob("check");
  EXPECT_EQ(outcome.exit_code, 1) << outcome.output;
  ExpectContains(outcome, "rank 1: check failed: what != \"check\" || !failing acted out");
  ExpectContains(outcome, "rank 1 on " + HostName() + ": ends all 2 ranks");
}

TEST(JobEnds, KilledRankEndsTheJob) {
  const Outcome outcome = RunJob("kill");
  EXPECT_NE(outcome.exit_code, 0);
  EXPECT_NE(outcome.exit_code, 124) << "timed out";
}

TEST(JobEnds, RankThatExitsAloneEndsTheOthers) {
  const Outcome outcome = RunJob("exit");
  EXPECT_EQ(outcome.exit_code, 3) << outcome.output;
  EXPECT_LT(outcome.seconds, 30);
}

TEST(JobEnds, AgreedErrorExitsCleanly) {
  const Outcome outcome = RunJob("agreed");
  EXPECT_EQ(outcome.exit_code, 4) << outcome.output;
  EXPECT_EQ(outcome.output.find("MPI_ABORT"), std::string::npos) << outcome.output;
}

TEST(JobEnds, DifferentSizesAreFound) {
  for (const char* what : {"small", "large"}) {
    const Outcome outcome = RunJob(what);
    EXPECT_EQ(outcome.exit_code, 1) << outcome.output;
    ExpectContains(outcome, "all_reduce, call 0 of rank ");
  }
}

}  // namespace
}  // namespace tl

int main(int argc, char** argv) {
  const std::string first = argc > 1 ? argv[1] : "";
  if (first.starts_with(tl::kFlag))
    return tl::Act(first.substr(sizeof(tl::kFlag) - 1), &argc, &argv);
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
