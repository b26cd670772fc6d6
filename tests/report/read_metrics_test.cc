// SPDX-License-Identifier: Apache-2.0
#include "report/read_metrics.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <limits>
#include <string>

#include "objective/acceptance.h"
#include "report/line_layout.h"
#include "report/number.h"
#include "train/metrics.h"

namespace tl {
namespace {

TEST(ReadNumber, AsStrtodReadsIt) {
  for (const char* text :
       {"0", "-0", "1", "-17", "2.5", "0.1", "123456789.123456789", "1e3", "1E+3", "1.5e-7",
        "3.40282347e+38", "1e-300", "5e-324", "1e308", "1e400", "12345678901234567890123",
        "0.00000000000000000000000000000123", "0.10000000000000000000000000000000000000001"}) {
    double value = 99.0;
    const char* const end = ReadNumber(text, &value);
    ASSERT_NE(end, nullptr) << text;
    EXPECT_EQ(*end, '\0') << text;
    const double expected = std::strtod(text, nullptr);
    EXPECT_TRUE(value == expected || std::abs(value / expected - 1.0) < 1e-15 ||
                std::abs(value - expected) <= std::numeric_limits<double>::denorm_min())
        << text << ": " << value;
  }
  for (const char* text : {"", "-", "+1", ".5", "1.", "01", "1e", "1e+", "x", "null", "nan"}) {
    double value;
    EXPECT_EQ(ReadNumber(text, &value), nullptr) << text;
  }
  double value;
  EXPECT_STREQ(ReadNumber("12,", &value), ",");
}

TEST(LineLayout, ReadsTheLinesOfOneWriter) {
  const std::string line = R"({"step":1,"losses":{"a\u0022b":2.5,"c":null},"skipped":0})";
  const auto layout = LineLayout::Of(line);
  ASSERT_TRUE(layout);
  std::vector<double> values;
  ASSERT_TRUE(layout->Read(line, &values));
  EXPECT_EQ(values, (std::vector<double>{1, 2.5, INFINITY, 0}));
  const std::string next = R"({"step":200,"losses":{"a\u0022b":null,"c":1e-3},"skipped":11})";
  ASSERT_TRUE(layout->Read(next, &values));
  EXPECT_EQ(values, (std::vector<double>{200, INFINITY, 1e-3, 11}));
  const auto named = ReadLine(next);
  ASSERT_TRUE(named);
  EXPECT_EQ((*named)[1].key, "losses/a\"b");
  EXPECT_EQ((*named)[3].key, "skipped");
  for (size_t cut = 0; cut < next.size(); ++cut) {
    const std::string part = next.substr(0, cut) + "\n";
    EXPECT_FALSE(layout->Read(absl::string_view(part).substr(0, cut), &values)) << part;
    EXPECT_FALSE(ReadLine(absl::string_view(part).substr(0, cut))) << part;
  }
  EXPECT_FALSE(layout->Read(R"({"step":1,"losses":{"x":2.5,"c":null},"skipped":0})", &values));
  EXPECT_FALSE(layout->Read(next + "}", &values));
  EXPECT_FALSE(layout->Read(next + "5", &values));
}

TEST(LineLayout, PassesOverWhatIsNoNumber) {
  const std::string line = R"({"a":[1,{"b":2}],"text":"x,\"y","yes":true,"n":-3, "o" : {} } )";
  EXPECT_FALSE(LineLayout::Of(line));
  const auto numbers = ReadLine(line);
  ASSERT_TRUE(numbers);
  ASSERT_EQ(numbers->size(), 1u);
  EXPECT_EQ((*numbers)[0].key, "n");
  for (const char* bad :
       {"", "[]", "1", "{", "{}{}", R"({"a":})", R"({"a":1,})", R"({"a" 1})", R"({"a":tru})",
        R"({"a":"x)", R"({"a":"\u00"})", R"({a:1})", R"({"a":{"b":{"c":{"d":{"e":{"f":1}}}}}})"})
    EXPECT_FALSE(ReadLine(bad)) << bad;
}

class ReadsMetrics : public testing::Test {
 protected:
  ReadsMetrics() : path_(testing::TempDir() + "read_metrics.jsonl") {}
  ~ReadsMetrics() override { std::filesystem::remove(path_); }
  RunMetrics Read(const std::string& text) {
    std::ofstream(path_, std::ios::binary) << text;
    return ReadMetrics(path_).value();
  }
  std::string path_;
};

StepReport Step(int64_t step, float loss) {
  StepReport report;
  report.step = step;
  report.tokens = step * 100;
  report.loss = loss;
  report.losses = {{"next_token", loss}, {"token_2", loss + 1.0f}};
  HeadSums sums{};
  sums.loss = 3.0;
  sums.targets = 4.0;
  sums.reached = 2.0;
  sums.accepted = 1.0;
  report.heads = {TokenHeadResult("next_token", sums, /*main=*/true),
                  TokenHeadResult("token_2", sums, /*main=*/false)};
  report.lr = 1e-3;
  report.grad_norm = 0.5;
  report.step_ms = 250.0;
  report.memory_bytes = int64_t{3} << 30;
  return report;
}

TEST_F(ReadsMetrics, WhatATrainingWrites) {
  EvalReport eval{.step = 2, .tokens = 200, .eval_targets = 10, .eval_loss = 1.25f};
  eval.bits_per_byte = 1.75;
  eval.eval_ms = 1000.0;
  StepReport ill = Step(3, std::numeric_limits<float>::quiet_NaN());
  const RunMetrics m =
      Read(ToJson(Step(1, 2.5f)) + ToJson(Step(2, 2.25f)) + ToJson(eval) + ToJson(ill));
  EXPECT_EQ(m.unreadable, 0);
  EXPECT_EQ(m.steps.steps, (std::vector<int64_t>{1, 2, 3}));
  EXPECT_EQ(m.steps.tokens, (std::vector<double>{100, 200, 300}));
  EXPECT_EQ(m.steps.seconds, (std::vector<double>{0.25, 0.5, 1.75}));
  EXPECT_EQ(*m.steps.Find("loss"), (std::vector<float>{2.5f, 2.25f, kNull}));
  EXPECT_EQ((*m.steps.Find("losses/token_2"))[1], 3.25f);
  EXPECT_EQ((*m.steps.Find("heads/token_2/alpha"))[0], 0.5f);
  EXPECT_EQ(m.steps.Find("heads/next_token/alpha"), nullptr);
  EXPECT_EQ((*m.steps.Find("accepted_length"))[2], 1.5f);
  EXPECT_EQ((*m.steps.Find("memory_bytes"))[0], 3221225472.0f);
  EXPECT_EQ(m.steps.Find("tokens"), nullptr);
  EXPECT_EQ(m.evaluations.steps, (std::vector<int64_t>{2}));
  EXPECT_EQ(*m.evaluations.Find("eval_loss"), (std::vector<float>{1.25f}));
  EXPECT_EQ((*m.evaluations.Find("bits_per_byte"))[0], 1.75f);
  EXPECT_EQ(m.evaluations.seconds, (std::vector<double>{1.5}));
}

TEST_F(ReadsMetrics, ACutLastLineIsNoneAndOthersAreCounted) {
  const std::string whole = ToJson(Step(1, 2.0f)), next = ToJson(Step(2, 1.0f));
  for (const size_t cut : {size_t{1}, next.size() / 2, next.size() - 2}) {
    const RunMetrics m = Read(whole + next.substr(0, cut));
    EXPECT_EQ(m.steps.rows(), 1u);
    EXPECT_EQ(m.unreadable, 0);
  }
  // Only its line end is missing.
  EXPECT_EQ(Read(whole + next.substr(0, next.size() - 1)).steps.rows(), 2u);
  const RunMetrics m = Read("notes\n" + whole + "\n{\"step\":-1}\n{\"step\":0.5}\n{\"loss\":1}\n" +
                            std::string(3 << 20, 'x') + "\n" + std::string(5, '\0') + "\n" + next);
  EXPECT_EQ(m.steps.rows(), 2u);
  EXPECT_EQ(m.unreadable, 6);
}

TEST_F(ReadsMetrics, OfStepsThatOccurTwiceTheLaterCount) {
  EvalReport eval{.step = 3, .tokens = 300, .eval_targets = 10, .eval_loss = 9.0f};
  std::string text;
  for (int step = 1; step <= 4; ++step) text += ToJson(Step(step, 1.0f));
  text += ToJson(eval);
  for (int step = 3; step <= 5; ++step) text += ToJson(Step(step, 2.0f));
  const RunMetrics m = Read(text);
  EXPECT_EQ(m.steps.steps, (std::vector<int64_t>{1, 2, 3, 4, 5}));
  EXPECT_EQ(*m.steps.Find("loss"), (std::vector<float>{1, 1, 2, 2, 2}));
  EXPECT_EQ(m.steps.seconds.back(), 1.25);
  EXPECT_EQ(m.steps.repeated, 2);
}

TEST_F(ReadsMetrics, ColumnsThatComeLateAreAbsentBefore) {
  const RunMetrics m = Read("{\"step\":1,\"loss\":1}\n{\"step\":2,\"loss\":1e300,\"lr\":2}\n");
  EXPECT_TRUE(std::isnan((*m.steps.Find("lr"))[0]));
  EXPECT_EQ((*m.steps.Find("lr"))[1], 2.0f);
  EXPECT_EQ((*m.steps.Find("loss"))[1], kNull);
}

TEST_F(ReadsMetrics, AMissingFileIsNamed) {
  const auto metrics = ReadMetrics(path_ + ".none");
  EXPECT_NE(metrics.status().message().find(path_ + ".none"), std::string::npos);
}

}  // namespace
}  // namespace tl
