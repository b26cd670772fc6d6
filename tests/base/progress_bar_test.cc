// SPDX-License-Identifier: Apache-2.0
#include "base/progress_bar.h"

#include <gtest/gtest.h>

#include "base/live_line.h"

namespace tl {
namespace {

constexpr int64_t kMiB = 1 << 20;

std::string Text(int64_t done, int64_t total, double seconds, int columns,
                 const std::string& of = "web.txt") {
  return ProgressText({.what = "tokenize",
                       .of = of,
                       .unit = ProgressUnit::kBytes,
                       .done = done,
                       .total = total,
                       .seconds = seconds},
                      columns);
}

TEST(ProgressBar, HasBarAmountAndEstimate) {
  EXPECT_EQ(Text(0, 4 * kMiB, 0.0, 80),
            "tokenize  [>                     ]    0%  0 B of 4.00 MiB  web.txt");
  EXPECT_EQ(Text(kMiB, 4 * kMiB, 30.0, 60),
            "tokenize  [==>      ]   25%  1.00 MiB of 4.00 MiB  ETA 1m30s  web.txt");
  EXPECT_EQ(Text(4 * kMiB, 4 * kMiB, 9.0, 80, ""),
            "tokenize  [======================]  100%  4.00 MiB of 4.00 MiB  ETA 0s");
}

TEST(ProgressBar, NeverPromisesMoreThanIsDone) {
  EXPECT_NE(Text(999, 1000, 1.0, 80).find(" 99%"), std::string::npos);
  // A file that grew meanwhile.
  EXPECT_NE(Text(5000, 1000, 1.0, 80).find("100%  1000 B of 1000 B  ETA 0s"), std::string::npos);
}

TEST(ProgressBar, SaysNothingOfATimeThatItCannotKnow) {
  EXPECT_EQ(Text(kMiB, 4 * kMiB, 0.2, 80).find("ETA"), std::string::npos);
  EXPECT_EQ(Text(0, 4 * kMiB, 100.0, 80).find("ETA"), std::string::npos);
}

TEST(ProgressBar, TellsOfUnknownTotalsWhatIsDone) {
  EXPECT_EQ(Text(3 * kMiB, 0, 8.4, 80), "tokenize  3.00 MiB in 8.4s  web.txt");
  EXPECT_EQ(Text(0, 0, 0.0, 80), "tokenize  web.txt");
  EXPECT_EQ(ProgressText({.what = "passes", .of = "", .done = 22700, .seconds = 3.0}, 80),
            "passes  22.7k in 3.0s");
}

TEST(ProgressBar, FitsWhateverWidth) {
  for (int columns = 1; columns < 120; ++columns) {
    const std::string text = Text(kMiB, 4 * kMiB, 30.0, columns, std::string(200, 'p'));
    EXPECT_LE(CutToColumns(text, columns).size(), static_cast<size_t>(columns));
    // The bar gives way to the figures.
    if (columns >= 47) {
      EXPECT_LE(text.find("1m30s") + 5, static_cast<size_t>(columns)) << text;
    }
  }
  EXPECT_EQ(Text(kMiB, 4 * kMiB, 30.0, 40),
            "tokenize   25%  1.00 MiB of 4.00 MiB  ETA 1m30s  web.txt");
}

TEST(LiveLine, IsCutAtACharacter) {
  EXPECT_EQ(CutToColumns("schön/größe.txt", 5), "schön");
  EXPECT_EQ(CutToColumns("schön/größe.txt", 80), "schön/größe.txt");
  // Two columns each; half of one is none.
  EXPECT_EQ(CutToColumns("文書.txt", 3), "文");
  EXPECT_EQ(CutToColumns("文書.txt", 4), "文書");
  // An accent of its own belongs to the letter before.
  EXPECT_EQ(CutToColumns("e\u0301a", 1), "e\u0301");
  EXPECT_EQ(CutToColumns("abc", 0), "");
}

TEST(LiveLine, HoldsNothingThatMovesTheCursor) {
  EXPECT_EQ(CutToColumns("a\n\033[2J\xFFz", 80), "a\\n\\x1b[2J\\xffz");
  EXPECT_EQ(CutToColumns("a\u009B2Jz", 80), "a2Jz");  // a control of one character
}

TEST(LiveLine, IsNotThereWithoutATerminal) {
  ProgressBar bar("work", 10, ProgressUnit::kCount);
  bar.Add(5);
  EXPECT_FALSE(LiveLineDue(2));
  ShowLiveLine(2, "text");
  EXPECT_FALSE(EraseLiveLine());
}

}  // namespace
}  // namespace tl
