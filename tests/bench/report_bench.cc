// SPDX-License-Identifier: Apache-2.0
// How long `trunkline report` takes for a million steps: of one head, and of three.
//   build/tests/report_bench [STEPS]
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "config/parse.h"
#include "objective/acceptance.h"
#include "objective/keys.h"
#include "report/page.h"
#include "report/read_metrics.h"
#include "train/metrics.h"

namespace tl {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

void WriteSteps(const std::string& path, int64_t steps, int heads) {
  std::ofstream file(path, std::ios::binary);
  HeadSums sums{};
  sums.loss = 8.0;
  sums.targets = sums.reached = 4.0;
  sums.accepted = 3.0;
  StepReport report;
  for (int64_t step = 1; step <= steps; ++step) {
    report.step = step;
    report.tokens = step * 4096;
    report.loss = 2.0f + 0.01f * static_cast<float>(step * 7919 % 1000) / 3.0f;
    report.losses.clear();
    report.heads.clear();
    for (int head = 0; head < heads; ++head) {
      const std::string name = absl::StrCat("token_", head + 1);
      report.losses.emplace_back(name, report.loss);
      if (heads > 1) report.heads.push_back(TokenHeadResult(name, sums, head == 0));
    }
    report.lr = 1e-3 / 3.0;
    report.grad_norm = 0.7 + 1e-3 * static_cast<double>(step % 613);
    report.step_ms = 17.125;
    report.tokens_per_second = 239182.0;
    report.mfu = 0.5;
    report.memory_bytes = 1 << 30;
    file << ToJson(report);
  }
}

int Main(int64_t steps) {
  const std::string run = "report_bench.run";
  for (const int heads : {1, 3}) {
    std::filesystem::create_directories(run);
    Config config;
    config.model = {.layers = 2, .hidden = 64, .heads = 2, .ffn = 96, .vocab = 256};
    config.train.steps = steps;
    config.train.sequence_length = 256;
    config.train.global_batch_size = 16;
    config.train.micro_batch_size = 8;
    config.data.train = {{.path = "none.tok"}};
    config.run.dir = run;
    std::ofstream(run + "/config.toml") << WriteResolved(AllKeys(), config);
    WriteSteps(run + "/metrics.jsonl", steps, heads);
    const auto bytes = static_cast<double>(std::filesystem::file_size(run + "/metrics.jsonl"));
    auto start = Clock::now();
    const auto metrics = ReadMetrics(run + "/metrics.jsonl");
    const double reading = SecondsSince(start);
    start = Clock::now();
    const absl::Status status = WriteReport({run}, run + "/report.html");
    std::printf("%d head(s): %.0f MB of metrics, read in %.2f s; the report in %.2f s, %.0f kB\n",
                heads, bytes / 1e6, reading, SecondsSince(start),
                status.ok()
                    ? static_cast<double>(std::filesystem::file_size(run + "/report.html")) / 1e3
                    : 0.0);
    std::filesystem::remove_all(run);
    if (!status.ok()) std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
    if (!status.ok() || !metrics.ok()) return 1;
  }
  return 0;
}

}  // namespace
}  // namespace tl

int main(int argc, char** argv) { return tl::Main(argc > 1 ? std::atoll(argv[1]) : 1000000); }
