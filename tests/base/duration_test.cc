// SPDX-License-Identifier: Apache-2.0
#include "base/duration.h"

#include <gtest/gtest.h>

namespace tl {
namespace {

double Seconds(const std::string& text) {
  const absl::StatusOr<Duration> duration = ParseDuration(text);
  return duration.ok() ? duration->seconds : -1;
}

TEST(Duration, IsReadAsPeopleWriteIt) {
  EXPECT_EQ(Seconds("3h50m"), 13800);
  EXPECT_EQ(Seconds("600"), 600);
  EXPECT_EQ(Seconds("0.5"), 0.5);
  EXPECT_EQ(Seconds("90s"), 90);
  EXPECT_EQ(Seconds("1.5h"), 5400);
  EXPECT_EQ(Seconds("2d1s"), 172801);
  EXPECT_EQ(Seconds("0s"), 0);
}

TEST(Duration, IsRefusedWhereItIsNone) {
  for (const char* text : {"", "h", "-5", "-5s", "5x", "5m3h", "5m5m", "3h50", "1e3", "nan", "inf",
                           " 5s", "5 s", "5s "}) {
    const absl::StatusOr<Duration> duration = ParseDuration(text);
    ASSERT_FALSE(duration.ok()) << text;
    EXPECT_NE(duration.status().message().find("\"3h50m\""), std::string::npos);
  }
}

TEST(Duration, IsReadBackAsWritten) {
  EXPECT_EQ(ToString(Duration{13800}), "3h50m");
  EXPECT_EQ(ToString(Duration{0}), "0s");
  EXPECT_EQ(ToString(Duration{60}), "1m");
  for (const double seconds : {0.0, 0.25, 1.0, 59.5, 61.0, 86400.0, 90061.125, 1e7})
    EXPECT_EQ(Seconds(ToString(Duration{seconds})), seconds);
}

}  // namespace
}  // namespace tl
