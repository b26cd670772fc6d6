// SPDX-License-Identifier: Apache-2.0
#include "report/axis.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "absl/strings/str_join.h"
#include "report/escape.h"

namespace tl {
namespace {

std::string Labels(const PlotAxis& axis) {
  return absl::StrJoin(axis.ticks(), " ",
                       [](std::string* out, const Tick& tick) { out->append(tick.label); });
}

TEST(PlotAxis, LinearEndsAtTicks) {
  const PlotAxis axis = PlotAxis::Linear(1.32, 2.87, Unit::kPlain, 5);
  EXPECT_EQ(Labels(axis), "1.0 1.5 2.0 2.5 3.0");
  EXPECT_EQ(axis.Place(1.0), 0.0);
  EXPECT_EQ(axis.Place(3.0), 1.0);
  EXPECT_DOUBLE_EQ(axis.Place(2.5), 0.75);
  EXPECT_EQ(Labels(PlotAxis::Linear(0.0, 0.83, Unit::kPercent, 5)), "0% 20% 40% 60% 80% 100%");
  EXPECT_EQ(Labels(PlotAxis::Linear(0.0, 4e-3, Unit::kPlain, 4)), "0.000 0.001 0.002 0.003 0.004");
  EXPECT_EQ(Labels(PlotAxis::Linear(-1.0, 1.0, Unit::kPlain, 2)), "-1 0 1");
  EXPECT_EQ(Labels(PlotAxis::Linear(0.0, 3.5 * (1 << 30), Unit::kBytes, 4)),
            "0 1 GiB 2 GiB 3 GiB 4 GiB");
}

TEST(PlotAxis, AConstantLiesInTheMiddle) {
  for (const double value : {0.0, 1.0, 1e-9, 65536.0, -3.0, 3e9}) {
    const PlotAxis axis = PlotAxis::Linear(value, value, Unit::kPlain, 5);
    EXPECT_LT(axis.low(), axis.high());
    EXPECT_GE(axis.Place(value), 0.0) << value;
    EXPECT_LE(axis.Place(value), 1.0) << value;
    EXPECT_GE(axis.ticks().size(), 2u) << value;
    EXPECT_LE(axis.ticks().size(), 12u) << value;
  }
}

TEST(PlotAxis, TimeHasTheStepsOfAClock) {
  EXPECT_EQ(Labels(PlotAxis::Exact(0, 3.4 * 3600, Unit::kSeconds, 8)),
            "0 30m00s 1h00m 1h30m 2h00m 2h30m 3h00m");
  EXPECT_EQ(Labels(PlotAxis::Exact(0, 100, Unit::kSeconds, 8)), "0 20s 40s 1m00s 1m20s 1m40s");
  EXPECT_EQ(Labels(PlotAxis::Exact(0, 6 * 86400, Unit::kSeconds, 6)),
            "0 1d00h 2d00h 3d00h 4d00h 5d00h 6d00h");
}

TEST(PlotAxis, CountsAreShort) {
  EXPECT_EQ(Labels(PlotAxis::Exact(0, 409600, Unit::kCount, 8)), "0 100k 200k 300k 400k");
  EXPECT_EQ(Labels(PlotAxis::Exact(0, 2.4e9, Unit::kCount, 5)), "0 500M 1G 1.5G 2G");
}

TEST(PlotAxis, LogHasDecadesOrTheirParts) {
  EXPECT_EQ(Labels(PlotAxis::Log(0.001, 1000.0, Unit::kPlain)), "0.001 0.01 0.1 1 10 100 1000");
  EXPECT_EQ(Labels(PlotAxis::Log(0.9, 60.0, Unit::kPlain)), "1 2 5 10 20 50");
  EXPECT_EQ(Labels(PlotAxis::Log(1.4, 7.3, Unit::kPlain)), "2 3 4 5 6 7");
  EXPECT_EQ(Labels(PlotAxis::Log(1.21, 1.79, Unit::kPlain)), "1.4 1.6");
  const PlotAxis axis = PlotAxis::Log(0.01, 100.0, Unit::kPlain);
  EXPECT_DOUBLE_EQ(axis.Place(1.0), 0.5);
  EXPECT_LT(axis.Place(0.0), 0.0);
  EXPECT_TRUE(std::isfinite(axis.Place(0.0)));
}

TEST(NumberText, HasTheDigitsThatCount) {
  EXPECT_EQ(NumberText(1.234567, Unit::kPlain), "1.2346");
  EXPECT_EQ(NumberText(65536, Unit::kPlain), "65536");
  EXPECT_EQ(NumberText(4e-5, Unit::kPlain), "4e-05");
  EXPECT_EQ(NumberText(0.3527, Unit::kPercent), "35.3%");
  EXPECT_EQ(NumberText(INFINITY, Unit::kPlain), "–");
  EXPECT_EQ(NumberText(409600, Unit::kCount), "410k");
  EXPECT_EQ(NumberText(150, Unit::kSeconds), "2m30s");
}

TEST(Escaped, IsTextWhateverItIs) {
  EXPECT_EQ(Escaped("<script>alert('x')</script> & \"y\""),
            "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &quot;y&quot;");
  EXPECT_EQ(Escaped("a\nb\x01"), "a\\nb\\x01");
  EXPECT_EQ(Escaped("\xFF<"), "\\xff&lt;");
  EXPECT_EQ(Escaped("é – \u202Egpj.exe"), "é – \\u202Egpj.exe");
}

}  // namespace
}  // namespace tl
