// SPDX-License-Identifier: Apache-2.0
#include "report/page.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "config/parse.h"
#include "infer/calibration.h"
#include "objective/acceptance.h"
#include "objective/keys.h"
#include "train/events.h"
#include "train/metrics.h"

namespace tl {
namespace {

namespace fs = std::filesystem;

int CountOf(const std::string& text, const std::string& part) {
  int count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size()))
    ++count;
  return count;
}

std::string ReadBack(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class Page : public testing::Test {
 protected:
  Page() {
    std::string name = testing::TempDir() + "pageXXXXXX";
    dir_ = mkdtemp(name.data());
  }
  ~Page() override { fs::remove_all(dir_); }

  // A run of `steps` steps with two heads and an evaluation every 10 steps.
  std::string MakeRun(const std::string& name, int64_t steps, double lr = 1e-3,
                      const std::string& head = "token_2") {
    const std::string run = dir_ + "/" + name;
    fs::create_directories(run);
    Config config;
    config.model = {.layers = 2, .hidden = 64, .heads = 2, .ffn = 96, .vocab = 256};
    config.train = {
        .steps = steps, .sequence_length = 32, .global_batch_size = 4, .micro_batch_size = 2};
    config.optimizer.lr = lr;
    config.run.dir = run;
    config.data.train = {{.path = "data/<b>bold</b>.tok"}};
    std::ofstream(run + "/config.toml") << WriteResolved(AllKeys(), config);
    std::string metrics;
    for (int64_t step = 1; step <= steps; ++step) {
      HeadSums sums{};
      sums.loss = 8.0;
      sums.targets = sums.reached = 4.0;
      sums.accepted = 3.0;
      StepReport report;
      report.step = step;
      report.tokens = step * 128;
      report.loss = 1.0f + 4.0f / static_cast<float>(step);
      report.losses = {{"next_token", report.loss}, {head, 2.0f}};
      report.heads = {TokenHeadResult("next_token", sums, /*main=*/true),
                      TokenHeadResult(head, sums, /*main=*/false)};
      report.lr = lr;
      report.grad_norm = step == 7 ? NAN : 0.5;
      report.loss_scale = step < 7 ? 1024.0 : 512.0;
      report.skipped = step < 7 ? 0 : 1;
      report.step_ms = 20.0;
      report.tokens_per_second = 6400.0;
      report.mfu = 0.25;
      report.memory_bytes = int64_t{1} << 30;
      metrics += ToJson(report);
      if (step % 10 == 0) {
        EvalReport eval{.step = step, .tokens = step * 128, .eval_targets = 10, .eval_loss = 1.5f};
        eval.bits_per_byte = 2.16;
        eval.heads = report.heads;
        metrics += ToJson(eval);
      }
    }
    std::ofstream(run + "/metrics.jsonl") << metrics;
    return run;
  }

  std::string Report(const std::vector<std::string>& runs) {
    const std::string out = dir_ + "/out.html";
    const absl::Status status = WriteReport(runs, out);
    EXPECT_TRUE(status.ok()) << status;
    return ReadBack(out);
  }

  std::string dir_;
};

TEST_F(Page, HasAFigureForAllThatIsThere) {
  const std::string html = Report({MakeRun("first", 40)});
  for (const char* id : {"loss", "head-loss", "bits", "acceptance", "accepted-length", "lr",
                         "grad-norm", "loss-scale", "skipped", "speed", "roof", "memory"}) {
    const size_t at = html.find(absl::StrCat("<figure id=\"", id, "\""));
    ASSERT_NE(at, std::string::npos) << id;
    const std::string figure = html.substr(at, html.find("</figure>", at) - at);
    EXPECT_EQ(CountOf(figure, "class=\"plot"), 2) << id;  // over tokens and over time
    EXPECT_GE(CountOf(figure, "class=\"curve"), 2) << id;
    EXPECT_GE(CountOf(figure, "class=\"y\""), 4) << id;
    EXPECT_GE(CountOf(figure, "class=\"x"), 6) << id;
    EXPECT_EQ(CountOf(figure, "<table"), 2) << id;
  }
  for (const char* text : {"2 layers, hidden 64", "finished after step 40 of 40", ">1.1000<",
                           "1.5000", "next_token", "token_2 eval", "prefers-color-scheme: dark",
                           "<title>skipped step 7</title>", "class=\"fault\""})
    EXPECT_NE(html.find(text), std::string::npos) << text;
  // Without those that show nothing.
  const std::string run = MakeRun("plain", 3);
  std::ofstream(run + "/metrics.jsonl") << "{\"step\":1,\"tokens\":8,\"loss\":2.5,\"loss_scale\":1,"
                                           "\"skipped\":0}\n";
  const std::string plain = Report({run});
  EXPECT_EQ(CountOf(plain, "<figure"), 1);
  EXPECT_NE(plain.find("last seen after step 1 of 3"), std::string::npos);
}

TEST_F(Page, LoadsAndRunsNothing) {
  const std::string html = Report({MakeRun("first", 40)});
  for (const char* text : {"<script", "javascript:", "http:", "https:", "src=", "@import", "url("})
    EXPECT_EQ(CountOf(html, text), 0) << text;
  EXPECT_EQ(CountOf(html, " href="), 1);  // an empty icon, so that none is asked for
  EXPECT_NE(html.find("default-src 'none'"), std::string::npos);
}

TEST_F(Page, HostileNamesAreText) {
  const std::string evil = "<img src=x onerror=alert(1)>\"'&";
  const std::string run = MakeRun("a" + absl::StrReplaceAll(evil, {{"/", "_"}}), 12, 1e-3, evil);
  StartEvent start{.provenance = {{"device", evil}, {"program", evil}}};
  start.data = {{.key = evil, .path = evil}};
  std::ofstream(run + "/events.jsonl") << ToJson(start, 5) << EventJson("stop", 12, evil, -1, 9);
  const std::string html = Report({run});
  EXPECT_EQ(html.find("<img"), std::string::npos);
  EXPECT_EQ(html.find("<b>bold"), std::string::npos);
  EXPECT_GE(CountOf(html, "&lt;img src=x onerror=alert(1)&gt;&quot;&#39;&amp;"), 8);
  EXPECT_NE(html.find("data/&lt;b&gt;bold"), std::string::npos);
}

TEST_F(Page, MarksWhatHappened) {
  const std::string run = MakeRun("first", 40);
  const StartEvent fresh{.provenance = {{"grid", "2 x 1"}}, .ranks = 2, .parameters = 123456};
  StartEvent again = fresh;
  again.step = 20;
  again.provenance["program"] = "0.1.0+gabc";
  std::ofstream(run + "/events.jsonl")
      << ToJson(fresh, 1796060526) << EventJson("save", 20, "", 0.5, 1796060530)
      << EventJson("save", 30, "", 0.5, 1796060531) << "noise\n"
      << ToJson(again, 1796060600) << EventJson("save", 40, "", 0.5, 1796060601)
      << EventJson("stop", 40, "SIGTERM", -1, 1796060602) << "{\"event\":\"sa";
  const std::string html = Report({run});
  for (const char* text :
       {"<title>saved after step 20</title>", "<title>saved after step 40</title>",
        "<title>resumed after step 20</title>", "<title>stopped by SIGTERM after step 40</title>",
        "stopped by SIGTERM after step 40 of 40", "trunkline 0.1.0+gabc", "2 x 1 (data x tensor)",
        ">123k, ", "2026-11-30 17:42 UTC to 2026-11-30 17:43 UTC"})
    EXPECT_NE(html.find(text), std::string::npos) << text;
  // That start went back behind it.
  EXPECT_EQ(html.find("saved after step 30"), std::string::npos);
}

TEST_F(Page, RunsLieOverEachOtherWithTheirDifferences) {
  const std::string a = MakeRun("one/run", 40, 1e-3), b = MakeRun("two/run", 20, 2e-3);
  const std::string html = Report({a, b});
  for (const char* text : {"one/run", "two/run", "one/run · train", "two/run · eval",
                           "<code>0.001</code></td><td><code>0.002</code>"})
    EXPECT_NE(html.find(text), std::string::npos) << text;
  const size_t at = html.find("Differences of the configs");
  const std::string section = html.substr(at, html.find("</section>", at) - at);
  EXPECT_EQ(CountOf(section, "<tr>"), 1 + 3);  // the head; [train] steps, lr and dir
  EXPECT_NE(Report({a, a}).find("The configs of these runs are the same."), std::string::npos);
}

TEST_F(Page, CalibrationAndDecoding) {
  const std::string run = MakeRun("first", 12);
  Calibration c{.checkpoint = "step_00000012", .compute = "fp32", .tokens = 1000};
  c.heads = {{.reached = 500, .by_rank = {0.625, 0.125}, .chain_alpha = 0.625}};
  c.costs.verify = {0.010, 0.011, 0.012, 0.013};
  c.costs.draft = {0.0, 0.001};
  c.tree = TreeShape::FromPaths({{0}}).value();
  c.values = {0.625};
  c.trials = {
      {.drafter = "none", .tau = 1.0, .tokens_per_second = 100.0},
      {.drafter = "heads", .tree = true, .drafts = 1, .tau = 1.5, .tokens_per_second = 140.0}};
  std::ofstream(run + "/calibration.json") << WriteCalibration(c);
  std::ofstream(run + "/decoding.json")
      << "{\"record\":\"sequence\",\"text\":\"x\"}\n"
      << R"({"record":"report","drafter":"heads","verification":"match","sequences":1,)"
      << R"("same_text":1,"decoding":{"tau":1.75,"tokens_per_second":150.5},)"
      << R"("plain":{"tokens_per_second":100.25},"speedup_measured":1.5,)"
      << R"("acceptance_conditional":[0.75]})"
      << "\n";
  const std::string html = Report({run});
  for (const char* text : {"step_00000012", "heads, tree of 1", "1.40×", "62.5%", "1.10×",
                           "generate --report", "1.7500", "150.50", "1.50×", "75.0%", "1 of 1"})
    EXPECT_NE(html.find(text), std::string::npos) << text;
  // What is none of these is left out, and the rest is drawn.
  std::ofstream(run + "/calibration.json") << "[]";
  std::ofstream(run + "/decoding.json") << "{\"record\":[1]}\nnoise\n";
  const std::string without = Report({run});
  EXPECT_EQ(without.find("id=\"decoding\""), std::string::npos);
  EXPECT_NE(without.find("<figure id=\"loss\""), std::string::npos);
}

TEST_F(Page, ManyStepsMakeNoLargerPageAndKeepTheirSpike) {
  const std::string run = MakeRun("many", 20);
  std::string metrics;
  for (int step = 1; step <= 100000; ++step)
    absl::StrAppend(&metrics, "{\"step\":", step, ",\"tokens\":", step * 10,
                    ",\"loss\":", step == 54321 ? 99.5 : 2.0 + 0.001 * (step % 17),
                    ",\"step_ms\":1}\n");
  std::ofstream(run + "/metrics.jsonl") << metrics;
  const std::string html = Report({run});
  EXPECT_LT(html.size(), 300000u);
  EXPECT_NE(html.find("99.500 <small>@ 54321"), std::string::npos);
  // The spike is the top of the plot, and the axis ends a little above it.
  const size_t at = html.find(" raw\" d=\"M");
  ASSERT_NE(at, std::string::npos);
  std::istringstream path(html.substr(at + 10, html.find("\"/>", at) - at - 10));
  int x = 0, y = 0, dx = 0, dy = 0, highest = 2200;
  char l = 0;
  path >> x >> y >> l;
  EXPECT_EQ(l, 'l');
  while (path >> dx >> dy) highest = std::min(highest, y += dy);
  EXPECT_GE(highest, 0);
  EXPECT_LT(highest, 60);
  EXPECT_GT(y, 2000);
}

TEST_F(Page, ReplacesReportsAlone) {
  const std::string run = MakeRun("first", 3), out = dir_ + "/out.html";
  ASSERT_TRUE(WriteReport({run}, out).ok());
  ASSERT_TRUE(WriteReport({run}, out).ok());
  std::ofstream(out) << "my page";
  EXPECT_EQ(WriteReport({run}, out).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ReadBack(out), "my page");
  const absl::Status none = WriteReport({dir_ + "/none"}, dir_ + "/new.html");
  EXPECT_NE(none.message().find(dir_ + "/none"), std::string::npos) << none;
  fs::remove(run + "/metrics.jsonl");
  const absl::Status empty = WriteReport({run}, dir_ + "/new.html");
  EXPECT_NE(empty.message().find(run + "/metrics.jsonl"), std::string::npos) << empty;
  EXPECT_FALSE(fs::exists(dir_ + "/new.html"));
}

}  // namespace
}  // namespace tl
