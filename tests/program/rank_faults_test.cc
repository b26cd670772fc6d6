// SPDX-License-Identifier: Apache-2.0
// How a training ends when it is asked to, and when a rank dies, hangs or throws: always soon, with
// the right exit code and a message that names rank, host and step.
#include <regex>

#include "base/exit_code.h"
#include "base/where.h"
#include "data/tokenize.h"
#include "tests/data/temp_folder.h"
#include "tests/program/live_job.h"

namespace tl {
namespace {

using Strings = std::vector<std::string>;

constexpr int kDeathSeconds = 10;  // that a job may outlive a rank
constexpr int kWatchdog = 8;       // the first matrix products of a busy machine take seconds too
// Starting, on a machine with other work; nothing is asserted about it.
constexpr int kPatience = 60;

std::string At(const std::string& name) { return Folder() + "/" + name; }

class RankFaults : public testing::Test {
 protected:
  void SetUp() override {
    SetJobEnvironment();
    name_ = testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(run());
    std::string text;
    for (int i = 0; i < 20000; ++i) text += std::to_string(i) + "\n";
    WriteFile(At("text"), text);
    ASSERT_EQ(RunShell(ProgramLine(1, {"tokenize", "--tokenizer", "bytes", "--out", At("train.tok"),
                                       At("text")}),
                       kPatience)
                  .exit_code,
              0);
    WriteFile(At("config.toml"), R"([model]
layers = 1
hidden = 64
heads = 2
kv_heads = 1
ffn = 96
vocab = 256
[data]
train = ")" + At("train.tok") + R"("
[train]
steps = 1000000
sequence_length = 16
global_batch_size = 4
micro_batch_size = 1
[optimizer]
warmup_steps = 1
[run]
log_every = 1000000
)");
  }

  std::string run() const { return At(name_); }
  std::string log() const { return At(name_ + ".log"); }
  Strings TrainArguments(const Strings& settings) const {
    Strings arguments = {"train", At("config.toml"), "--set", "run.dir=" + run()};
    arguments.insert(arguments.end(), settings.begin(), settings.end());
    return arguments;
  }
  // Steps in the run's metrics.
  int Steps() const { return Count(ReadFile(run() + "/metrics.jsonl"), "\n"); }
  bool WaitForSteps(LiveJob& job, int steps) const {
    const bool there = WaitUntil(kPatience, [&] { return Steps() >= steps || job.ended(); });
    EXPECT_TRUE(there && !job.ended()) << job.Output();
    return there && !job.ended();
  }
  void ExpectEnd(LiveJob& job, int exit_code, int seconds) const {
    const std::optional<int> code = job.Wait(seconds);
    ASSERT_TRUE(code.has_value()) << "still running after " << seconds << " s\n" << job.Output();
    EXPECT_EQ(*code, exit_code) << job.Output();
  }
  static void ExpectSays(const LiveJob& job, const std::string& pattern) {
    const std::string output = job.Output();
    EXPECT_TRUE(std::regex_search(output, std::regex(pattern))) << pattern << "\n" << output;
  }
  // "step_00000012": of the newest checkpoint.
  std::string Newest() const {
    std::string newest;
    for (const auto& entry : std::filesystem::directory_iterator(run())) {
      const std::string name = entry.path().filename().string();
      if (name.starts_with("step_") && name.find('.') == std::string::npos && name > newest)
        newest = name;
    }
    return newest;
  }
  static std::string Preload(const std::string& act, int rank) {
    return "LD_PRELOAD=" TL_BINARY_DIR "/tests/libpreload.so TL_PRELOAD_ACT=" + act +
           " TL_PRELOAD_RANK=" + std::to_string(rank);
  }

  std::string name_;
};

const std::string kWatched = "run.watchdog_seconds=" + std::to_string(kWatchdog);

TEST_F(RankFaults, StoppedRankIsFoundByThoseThatWait) {
  LiveJob job(2, TrainArguments({kWatched}), log());
  ASSERT_TRUE(WaitForSteps(job, 3));
  ASSERT_TRUE(job.Signal(1, SIGSTOP));
  ExpectEnd(job, kExitHung, kWatchdog + kDeathSeconds);
  ExpectSays(job, "error: rank 0 on " + HostName() +
                      ", in step [0-9]+: no progress for 8 s: "
                      "(all_reduce|reduce_scatter|all_gather), call [0-9]+ of rank 0 in the group "
                      "(world|data) of 2, waits for rank 1 on " +
                      HostName());
}

TEST_F(RankFaults, KilledRankEndsTheJob) {
  LiveJob job(2, TrainArguments({}), log());
  ASSERT_TRUE(WaitForSteps(job, 3));
  ASSERT_TRUE(job.Signal(1, SIGKILL));
  ExpectEnd(job, 128 + SIGKILL, kDeathSeconds);
}

TEST_F(RankFaults, CrashSaysRankHostAndStep) {
  LiveJob job(2, TrainArguments({}), log());
  ASSERT_TRUE(WaitForSteps(job, 3));
  ASSERT_TRUE(job.Signal(1, SIGSEGV));
  ExpectEnd(job, 128 + SIGSEGV, kDeathSeconds);
  ExpectSays(job, "error: rank 1 on " + HostName() + ", in step [0-9]+: SIGSEGV");
}

TEST_F(RankFaults, ExceptionEndsAllRanks) {
  LiveJob job(2, TrainArguments({"checkpoint.every=2"}), log(), Preload("throw", 0));
  const std::optional<int> code = job.Wait(kPatience);
  ASSERT_TRUE(code.has_value()) << job.Output();
  EXPECT_NE(*code, 0);
  ExpectSays(job, "std::bad_alloc");
  ExpectSays(job, "rank 0 on " + HostName() + ", in step [0-9]+");
}

TEST_F(RankFaults, HangOutsideOfCollectivesIsFound) {
  LiveJob job(1, TrainArguments({"checkpoint.every=2", kWatched}), log(), Preload("hang", 0));
  ASSERT_TRUE(WaitForSteps(job, 2));
  ExpectEnd(job, kExitHung, kWatchdog + kDeathSeconds);
  ExpectSays(job,
             HostName() + ", in step [0-9]+, saving: no progress for 8 s: outside of collectives");
}

TEST_F(RankFaults, SecondInterruptEndsAtOnce) {
  LiveJob job(1, TrainArguments({"checkpoint.every=2"}), log(), Preload("hang", 0));
  ASSERT_TRUE(WaitForSteps(job, 2));
  ASSERT_TRUE(job.Signal(0, SIGINT));
  ASSERT_TRUE(WaitUntil(5, [&] { return Count(job.Output(), "once more ends at once") == 1; }));
  EXPECT_FALSE(job.Wait(0.5).has_value()) << "the first one saves";
  ASSERT_TRUE(job.Signal(0, SIGINT));
  ExpectEnd(job, 128 + SIGINT, 5);
}

// SIGUSR1 to the launcher or to one rank alone: all save the same step, and the next start goes on
// from it as if nothing had been.
TEST_F(RankFaults, UserSignalSavesForARequeue) {
  int64_t before = 0;
  for (const bool to_launcher : {true, false}) {
    LiveJob job(2, TrainArguments({}), log());
    ASSERT_TRUE(WaitForSteps(job, static_cast<int>(before) + 3));
    ASSERT_TRUE(to_launcher ? kill(job.launcher(), SIGUSR1) == 0 : job.Signal(1, SIGUSR1));
    ExpectEnd(job, kExitRequeue, kPatience);
    ExpectSays(job, "warning: stopped by SIGUSR1 after step " + std::to_string(Steps()) +
                        " of 1000000, which is saved in ");
    const std::string newest = Newest();
    ASSERT_FALSE(newest.empty());
    EXPECT_EQ(std::stoll(newest.substr(5)), Steps()) << job.Output();
    EXPECT_GT(Steps(), before);
    before = Steps();
  }
}

// A batch system's signal may come before the program is ready for it.
TEST_F(RankFaults, UserSignalAtTheStartSavesForARequeue) {
  LiveJob job(2, TrainArguments({}), log(), Preload("signal", 1));
  ExpectEnd(job, kExitRequeue, kPatience);
  ExpectSays(job, "warning: stopped by SIGUSR1 after step 1 of 1000000, which is saved in ");
  EXPECT_EQ(Steps(), 1);
}

TEST_F(RankFaults, TimeLimitSavesForARequeue) {
  LiveJob job(2, TrainArguments({"checkpoint.time_limit=4s"}), log());
  ExpectEnd(job, kExitRequeue, kPatience);
  ExpectSays(job, "stopped by \\[checkpoint\\] time_limit after step ");
  EXPECT_EQ(std::stoll(Newest().substr(5)), Steps());
}

TEST_F(RankFaults, TerminateAndInterruptSave) {
  for (const int signal : {SIGTERM, SIGHUP, SIGINT}) {
    const int before = Steps();
    LiveJob job(1, TrainArguments({}), log(), Preload("none", 0));
    ASSERT_TRUE(WaitForSteps(job, before + 2));
    ASSERT_TRUE(job.Signal(0, signal));
    ExpectEnd(job, 128 + signal, kPatience);
    EXPECT_EQ(std::stoll(Newest().substr(5)), Steps()) << job.Output();
  }
}

TEST_F(RankFaults, AClosedPipeSaves) {
  const std::string line = ProgramLine(1, TrainArguments({"run.log_every=1"}));
  const Outcome end =
      RunShell("bash -c " + Quote(line + " | head -n 1; exit ${PIPESTATUS[0]}"), kPatience);
  EXPECT_EQ(end.exit_code, 128 + SIGPIPE) << end.output;
  EXPECT_NE(end.output.find("stopped by SIGPIPE after step"), std::string::npos) << end.output;
  EXPECT_EQ(std::stoll(Newest().substr(5)), Steps()) << end.output;
}

TEST_F(RankFaults, UnderNohupTrainingGoesOn) {
  LiveJob job(1, TrainArguments({}), log(), Preload("none", 0) + " nohup");
  ASSERT_TRUE(WaitForSteps(job, 2));
  ASSERT_TRUE(job.Signal(0, SIGHUP));
  ASSERT_TRUE(WaitForSteps(job, Steps() + 20));
  ASSERT_TRUE(job.Signal(0, SIGTERM));
  ExpectEnd(job, 128 + SIGTERM, kPatience);
}

// Of formats that say nothing about their tokens a bad one is met when it is read.
TEST_F(RankFaults, ABadTokenCostsNoStep) {
  constexpr int kTokens = 70000;
  std::vector<int32_t> header(256);
  header[0] = 20240520, header[1] = 1, header[2] = kTokens;
  std::vector<uint16_t> tokens(kTokens, 7);
  // Between samples that are taken at the start, 1024 tokens at 64 places.
  for (int i = 8; i < 64; i += 8) tokens[(kTokens - 1024) * i / 63 - 20] = 300;
  const auto bytes = [](const auto& v) {
    return std::string(reinterpret_cast<const char*>(v.data()), v.size() * sizeof(v[0]));
  };
  WriteFile(At("late.bin"), bytes(header) + bytes(tokens));
  for (const int ranks : {1, 2}) {
    std::filesystem::remove_all(run());
    LiveJob job(ranks, TrainArguments({"data.train=" + At("late.bin")}), log());
    ExpectEnd(job, kExitError, kPatience);
    ExpectSays(job, "/late.bin: token [0-9]+ is 300.*; step [0-9]+ is saved in ");
    EXPECT_GT(Steps(), 0);
    EXPECT_EQ(std::stoll(Newest().substr(5)), Steps()) << job.Output();
  }
}

// Training reads while somebody writes over its data: `> train.tok`, a copy that the disk has no
// room for, or tokenize of another version.
TEST_F(RankFaults, DataThatIsCutOffCostsNoStep) {
  const std::string good = ReadFile(At("train.tok")), path = At("cut.tok");
  for (const int ranks : {1, 2}) {
    std::filesystem::remove_all(run());
    std::filesystem::remove(path);
    WriteFile(path, good);
    LiveJob job(ranks, TrainArguments({"data.train=" + path}), log());
    ASSERT_TRUE(WaitForSteps(job, 3));
    ASSERT_EQ(truncate(path.c_str(), 1000), 0);
    ExpectEnd(job, kExitError, kPatience);
    ExpectSays(job, "/cut.tok: had " + std::to_string(good.size()) +
                        " bytes when it was opened, has 1000 now.*; step [0-9]+ is saved in ");
    EXPECT_GE(Steps(), 3);
    EXPECT_EQ(std::stoll(Newest().substr(5)), Steps()) << job.Output();
  }
}

}  // namespace
}  // namespace tl
