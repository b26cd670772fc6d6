// SPDX-License-Identifier: Apache-2.0
#include "train/metrics.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "base/human.h"
#include "config/parse.h"
#include "objective/acceptance.h"
#include "objective/keys.h"
#include "train/colours.h"
#include "train/progress.h"
#include "train/run_log.h"

namespace tl {
namespace {

std::string ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class Metrics : public testing::Test {
 protected:
  Metrics() {
    std::string name = testing::TempDir() + "metricsXXXXXX";
    dir_ = mkdtemp(name.data());
  }
  ~Metrics() override { std::filesystem::remove_all(dir_); }
  std::string dir_;
};

// A main head, one that drafts, and one that predicts no tokens.
std::vector<HeadResult> Heads() {
  static constexpr MeasureKind kNoise = {.name = "noise", .title = "noise"};
  const HeadSums sums = {.loss = 3.0,
                         .targets = 4.0,
                         .top1 = 1.0,
                         .top5 = 2.0,
                         .compared = 8.0,
                         .agreed = 3.0,
                         .reached = 2.0,
                         .accepted = 1.0};
  return {TokenHeadResult("next_token", sums, /*main=*/true),
          TokenHeadResult("token_2", sums, /*main=*/false),
          {.name = "pictures", .targets = 2, .loss = 0.5, .measures = {{&kNoise, 0.125, 2}}}};
}

StepReport Report(int64_t step) {
  StepReport r;
  r.step = step;
  r.tokens = step * 4096;
  r.loss = 2.34567898f;
  r.losses = {{"next_token", 2.34567898f}};
  r.lr = 3e-4;
  r.grad_norm = 0.8125;
  r.loss_scale = 65536;
  r.skipped = 1;
  r.step_ms = 45.125;
  r.tokens_per_second = 90770.6;
  r.tflops = 0.18;
  r.mfu = 0.614;
  r.memory_bytes = int64_t{5} << 30;
  return r;
}

// The keys of a line; of what has a name for each head, those below the names too.
std::set<std::string> KeysOf(const std::string& line) {
  std::set<std::string> keys;
  const nlohmann::json object = nlohmann::json::parse(line);
  for (const auto& [key, value] : object.items()) {
    keys.insert(key);
    if (key != "heads") continue;
    for (const auto& head : value)
      for (const auto& [measure, number] : head.items()) keys.insert(measure);
  }
  return keys;
}

// Those that a page tells: in the first cell of a table's row, in backticks.
std::set<std::string> KeysOfPage(const std::string& path) {
  std::set<std::string> keys;
  std::ifstream page(path);
  for (std::string line; std::getline(page, line);) {
    if (line.rfind("| `", 0) != 0) continue;
    const std::string cell = line.substr(2, line.find(" |", 2) - 2);
    for (size_t i = 0; (i = cell.find('`', i)) != std::string::npos;) {
      const size_t end = cell.find('`', i + 1);
      keys.insert(cell.substr(i + 1, end - i - 1));
      i = end + 1;
    }
  }
  return keys;
}

TEST(ToJson, ThePageHasEveryKey) {
  StepReport step = Report(7);
  step.samples_per_second = 354.6;
  EvalReport eval = {.step = 7, .bits_per_byte = 1.5};
  step.heads = eval.heads = Heads();
  step.heads.pop_back();
  eval.heads.pop_back();
  std::set<std::string> keys = KeysOf(ToJson(step));
  keys.merge(KeysOf(ToJson(eval)));
  EXPECT_EQ(KeysOfPage(TL_SOURCE_DIR "/docs/reference/metrics.md"), keys);
}

TEST(ToJson, HeadsReportTheirOwnMeasures) {
  StepReport report = Report(7);
  report.heads = Heads();
  EXPECT_NE(ToJson(report).find(
                R"("heads":{"next_token":{"targets":4,"top1":0.25,"top5":0.5},)"
                R"("token_2":{"targets":4,"top1":0.25,"top5":0.5,"alpha":0.5,"reached":2,)"
                R"("agreement":0.375,"compared":8},)"
                R"("pictures":{"targets":2,"noise":0.125}},"accepted_length":1.5,)"),
            std::string::npos)
      << ToJson(report);
  EXPECT_NE(Progress(9).Line(report).find("  accept 0.50  tau 1.50"), std::string::npos);
  report.heads.erase(report.heads.begin() + 1);
  EXPECT_EQ(ToJson(report).find("accepted_length"), std::string::npos) << "nobody drafts";
  EXPECT_EQ(Progress(9).Line(report).find("accept"), std::string::npos);
}

TEST(ToJson, StepHasEveryKeyAndAllDigits) {
  const std::string line = ToJson(Report(7));
  EXPECT_EQ(line.back(), '\n');
  const auto json = nlohmann::json::parse(line);
  for (const char* key :
       {"step", "tokens", "loss", "losses", "lr", "grad_norm", "loss_scale", "skipped", "step_ms",
        "tokens_per_second", "tflops", "mfu", "memory_bytes"}) {
    EXPECT_TRUE(json.contains(key)) << key;
  }
  EXPECT_EQ(json["step"], 7);
  EXPECT_EQ(json["tokens"], 28672);
  EXPECT_EQ(json["loss"].get<float>(), 2.34567898f);
  EXPECT_EQ(json["losses"]["next_token"].get<float>(), 2.34567898f);
  EXPECT_EQ(json["lr"], 3e-4);
  EXPECT_EQ(json["memory_bytes"], int64_t{5} << 30);
}

TEST(ToJson, NotANumberIsNull) {
  StepReport r = Report(1);
  r.loss = std::numeric_limits<float>::quiet_NaN();
  r.losses[0] = {"a\"b\n", -std::numeric_limits<float>::infinity()};
  r.grad_norm = std::numeric_limits<double>::infinity();
  const auto json = nlohmann::json::parse(ToJson(r));
  EXPECT_TRUE(json["loss"].is_null());
  EXPECT_TRUE(json["losses"]["a\"b\n"].is_null());
  EXPECT_TRUE(json["grad_norm"].is_null());
}

TEST(ToJson, EvaluationHasBitsPerByteWhereKnown) {
  EvalReport r;
  r.step = 100;
  r.eval_loss = 1.2345678f;
  EXPECT_FALSE(nlohmann::json::parse(ToJson(r)).contains("bits_per_byte"));
  r.bits_per_byte = 1.78;
  const auto json = nlohmann::json::parse(ToJson(r));
  EXPECT_EQ(json["eval_loss"].get<float>(), 1.2345678f);
  EXPECT_EQ(json["bits_per_byte"], 1.78);
}

TEST_F(Metrics, ResumeDropsLaterAndTornLines) {
  const std::string path = dir_ + "/metrics.jsonl";
  {
    MetricsFile file = MetricsFile::Open(path, 0).value();
    for (int64_t step = 1; step <= 12; ++step) ASSERT_TRUE(file.Write(Report(step)).ok());
    ASSERT_TRUE(file.Write(EvalReport{.step = 8}).ok());
    ASSERT_TRUE(file.Write(EvalReport{.step = 12}).ok());
  }
  const std::string before = ReadAll(path);
  std::ofstream(path, std::ios::app) << "{\"step\":9,\"tok";
  {
    MetricsFile file = MetricsFile::Open(path, 10).value();
    EXPECT_EQ(file.last_evaluation(), 8);
    ASSERT_TRUE(file.Write(Report(11)).ok());
  }
  std::string expected;
  for (int64_t step = 1; step <= 10; ++step) expected += ToJson(Report(step));
  expected += ToJson(EvalReport{.step = 8}) + ToJson(Report(11));
  EXPECT_EQ(ReadAll(path), expected);
  {
    MetricsFile file = MetricsFile::Open(path, 11).value();
  }
  EXPECT_EQ(ReadAll(path), expected);
  {
    MetricsFile file = MetricsFile::Open(path, 0).value();
  }
  EXPECT_EQ(ReadAll(path), "");
}

TEST_F(Metrics, RunLogFillsTheFolder) {
  Config config;
  config.run.dir = dir_ + "/a/b";
  config.train.steps = 20;
  config.run.log_every = 5;
  testing::internal::CaptureStdout();
  {
    RunLog log = RunLog::Open(config, 0).value();
    for (int64_t step = 1; step <= 20; ++step) log.Step(Report(step));
    log.Evaluation({.step = 20, .eval_loss = 2.0f, .bits_per_byte = 1.5});
  }
  const std::string screen = testing::internal::GetCapturedStdout();
  EXPECT_EQ(std::count(screen.begin(), screen.end(), '\n'), 1 + 4 + 1) << screen;
  EXPECT_NE(screen.find("step 20/20  loss 2.3457"), std::string::npos) << screen;
  EXPECT_NE(screen.find("1.5000 bits/byte"), std::string::npos) << screen;
  EXPECT_EQ(ReadAll(config.run.dir + "/config.toml"), WriteResolved(AllKeys(), config));
  const std::string lines = ReadAll(config.run.dir + "/metrics.jsonl");
  EXPECT_EQ(std::count(lines.begin(), lines.end(), '\n'), 21);
}

TEST_F(Metrics, ErrorsNameThePath) {
  std::ofstream(dir_ + "/file") << "x";
  Config config;
  config.run.dir = dir_ + "/file/run";
  absl::Status status = RunLog::Open(config, 0).status();
  EXPECT_NE(std::string(status.message()).find(dir_ + "/file/run: "), std::string::npos) << status;
  config.run.dir = dir_ + "/file";
  EXPECT_FALSE(RunLog::Open(config, 0).ok());
  config.run.dir = "/proc/trunkline";
  status = RunLog::Open(config, 0).status();
  EXPECT_NE(std::string(status.message()).find("/proc/trunkline: "), std::string::npos) << status;
  if (geteuid() != 0) {
    config.run.dir = "/usr/trunkline";
    EXPECT_EQ(RunLog::Open(config, 0).status().code(), absl::StatusCode::kPermissionDenied);
  }
}

TEST_F(Metrics, NoSpace) {
  if (access("/dev/full", W_OK) != 0) GTEST_SKIP() << "no /dev/full";
  AppendFile full = AppendFile::Open("/dev/full").value();
  const absl::Status status = full.Append("line\n");
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(status.message(), "/dev/full: cannot write: No space left on device");
}

// Where files may not grow, steps wait for the day they may; training does not.
TEST_F(Metrics, LinesThatCouldNotBeWrittenFollow) {
  Config config;
  config.run.dir = dir_ + "/full";
  config.train.steps = 9;
  RunLog log = RunLog::Open(config, 0).value();
  log.Step(Report(1));
  const std::string path = config.run.dir + "/metrics.jsonl";
  const std::string one = ReadAll(path);
  struct rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  // Room for a part of the next line.
  struct rlimit full = {.rlim_cur = one.size() + 5, .rlim_max = before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &full), 0);
  log.Step(Report(2));
  log.Step(Report(3));
  log.Evaluation({.step = 3, .eval_loss = 2.0f});
  testing::internal::CaptureStderr();
  log.Finish();
  const std::string lost = testing::internal::GetCapturedStderr();
  EXPECT_NE(lost.find("the last 3 lines of metrics.jsonl"), std::string::npos) << lost;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, old_handler);
  EXPECT_EQ(ReadAll(path), one);
  log.Step(Report(4));
  EXPECT_EQ(ReadAll(path), ToJson(Report(1)) + ToJson(Report(2)) + ToJson(Report(3)) +
                               ToJson(EvalReport{.step = 3, .eval_loss = 2.0f}) +
                               ToJson(Report(4)));
}

TEST(Progress, LineSaysWhatMatters) {
  Progress progress(2000);
  StepReport r = Report(120);
  r.skipped = 0;
  EXPECT_EQ(progress.Line(r),
            "step  120/2000  loss 2.3457  lr 3.00e-04  norm 0.812  45.1 ms  90.8k tok/s  "
            "61% of roof  ETA 1m25s");
  r.skipped = 1;
  r.mfu = 0.0;
  r.step = 2000;
  EXPECT_EQ(progress.Line(r),
            "step 2000/2000  loss 2.3457  lr 3.00e-04  norm 0.812  45.1 ms  90.8k tok/s  ETA 0s  "
            "skipped, scale 65536");
}

TEST(Progress, LiveLineIsShort) {
  Progress progress(2000);
  const StepReport r = Report(120);
  progress.Line(r);
  EXPECT_EQ(progress.LiveLine(r), "step  120/2000  loss 2.3457  90.8k tok/s  ETA 1m25s");
}

TEST(Progress, CountsSamplesThatAreValues) {
  Progress progress(2000);
  StepReport r = Report(120);
  EXPECT_EQ(ToJson(r).find("samples_per_second"), std::string::npos);
  r.samples_per_second = 354.6;
  EXPECT_NE(ToJson(r).find(",\"samples_per_second\":354.6,"), std::string::npos) << ToJson(r);
  EXPECT_NE(progress.Line(r).find("  45.1 ms  355 samples/s  61%"), std::string::npos)
      << progress.Line(r);
  EXPECT_NE(progress.LiveLine(r).find("  355 samples/s  ETA"), std::string::npos);

  Config config;
  config.model = {.layers = 6, .hidden = 128, .heads = 4, .ffn = 344, .shape = {1, 28, 28}};
  config.model.patch = 4;
  config.train = {.steps = 9, .sequence_length = 49, .global_batch_size = 8, .micro_batch_size = 2};
  std::string banner = Banner(config, {});
  for (const char* part :
       {"ffn 344, samples 1 x 28 x 28, patch 4\n", "FLOP per patch\n",
        "8 samples of 49 = 392 patches per step: 1 rank(s) x 4 micro batch(es) of 2"})
    EXPECT_NE(banner.find(part), std::string::npos) << part << " in\n" << banner;
  config.model.classes = 10;
  EXPECT_NE(Banner(config, {}).find("patch 4, 10 classes\n"), std::string::npos);
}

TEST(Progress, ColoursAddNothingElse) {
  EXPECT_EQ(Coloured("step  1/4  loss 2.5  lr 1e-3"),
            "\033[2mstep\033[0m  1/4  \033[2mloss\033[0m \033[1m2.5\033[0m  \033[2mlr\033[0m 1e-3");
  EXPECT_EQ(Coloured("eval loss nan skipped,"),
            "\033[36meval\033[0m \033[2mloss\033[0m \033[1;31mnan\033[0m \033[33mskipped,\033[0m");
  EXPECT_EQ(Coloured("  a  b "), "  a  b ");
  EXPECT_EQ(Coloured(""), "");
}

TEST(Progress, ShowsWhatIsNoNumberAndWhatIsNotThere) {
  Progress progress(2000);
  StepReport r = Report(120);
  r.loss = -std::numeric_limits<float>::quiet_NaN();
  r.grad_norm = std::numeric_limits<double>::quiet_NaN();
  EXPECT_NE(progress.Line(r).find("loss nan  lr 3.00e-04  norm nan "), std::string::npos)
      << progress.Line(r);
  r.counted = false;
  EXPECT_NE(progress.Line(r).find("loss -  lr"), std::string::npos) << progress.Line(r);
  EvalReport e{.step = 2, .eval_targets = 3, .eval_loss = r.loss};
  EXPECT_NE(progress.Line(e).find("loss nan  (3 targets"), std::string::npos) << progress.Line(e);
  e.eval_targets = 0;
  EXPECT_NE(progress.Line(e).find("loss -  (0 targets"), std::string::npos) << progress.Line(e);
}

TEST(Progress, HumanNumbers) {
  EXPECT_EQ(HumanCount(950), "950");
  EXPECT_EQ(HumanCount(999.7), "1.00k");
  EXPECT_EQ(HumanCount(22700), "22.7k");
  EXPECT_EQ(HumanCount(123532032), "124M");
  EXPECT_EQ(HumanCount(8030261248.0), "8.03G");
  EXPECT_EQ(HumanBytes(512), "512 B");
  EXPECT_EQ(HumanBytes(int64_t{3} << 29), "1.50 GiB");
  EXPECT_EQ(HumanTime(0), "0s");
  EXPECT_EQ(HumanTime(0.1234), "123ms");
  EXPECT_EQ(HumanTime(8.4), "8.4s");
  EXPECT_EQ(HumanTime(45.2), "45s");
  EXPECT_EQ(HumanTime(133), "2m13s");
  EXPECT_EQ(HumanTime(3 * 3600 + 300), "3h05m");
  EXPECT_EQ(HumanTime(52 * 3600), "2d04h");
}

// One of thousands of data files is no small one.
TEST_F(Metrics, ConfigsMayBeOfAnySize) {
  const auto write = [&](const std::string& end) {
    std::ofstream(dir_ + "/config.toml")
        << "[data]\ntrain = [\"" << std::string(3 << 20, 'a') << "\"]\n" + end;
  };
  write("");
  EXPECT_TRUE(RunLog::Check(dir_).ok()) << RunLog::Check(dir_);
  write("# mine\n");
  EXPECT_TRUE(absl::IsFailedPrecondition(RunLog::Check(dir_))) << RunLog::Check(dir_);
}

TEST(Progress, BannerShowsModelGridAndMemory) {
  Config config;
  config.model = {.layers = 6, .hidden = 384, .heads = 6, .ffn = 1024, .vocab = 256};
  config.train = {
      .steps = 100, .sequence_length = 256, .global_batch_size = 8, .micro_batch_size = 2};
  config.data.train = {{"a.tok", 1.0}};
  config.parallel.tensor = 2;
  config.run.dir = "out";
  BannerFacts facts;
  facts.ranks = 4;
  facts.parameters = 10720128;
  facts.flops_per_token = 71382528.0;
  facts.device = "CPU";
  facts.memory = {{"weights", 1 << 20}, {"activations", 3 << 20}};
  const std::string banner = Banner(config, facts);
  for (const char* part : {"-> out", "6 layers", "10.7M (10720128), 71.4M FLOP per token",
                           "4 rank(s) on 1 host(s) = 2 data x 2 tensor",
                           "2.05k tokens per step: 2 rank(s) x 2 micro batch(es) of 2", "a.tok",
                           "in all                   4.00 MiB"}) {
    EXPECT_NE(banner.find(part), std::string::npos) << part << " in\n" << banner;
  }
}

TEST(Progress, BannerEndsWithWhatIsFoundAtTheStart) {
  EXPECT_EQ(BannerEnd(0.0, 0), "");
  EXPECT_EQ(BannerEnd(0.0, 20), "  resumed     after step 20\n");
  EXPECT_EQ(BannerEnd(1.5e12, 20),
            "  roof        1.50TFLOP/s per rank: matrix products, measured now\n"
            "  resumed     after step 20\n");
}

}  // namespace
}  // namespace tl
