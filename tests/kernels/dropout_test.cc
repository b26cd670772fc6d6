// SPDX-License-Identifier: Apache-2.0
#include "kernels/dropout.h"

#include "tests/gradcheck.h"
#include "tests/kernels/kernel_test.h"
#include "tests/reference/dropout.h"

namespace tl {
namespace {

// A run's later rows do not fit 32 bits.
constexpr int64_t kFarRow = (int64_t{1} << 33) + 5;

TEST(DropoutTwin, FiniteDifferences) {
  const reference::DropoutMask mask{.rate = 0.3, .key = 7, .first_row = 3};
  const Doubles x = Normals(DType::kF32, 60, 1), dy = Normals(DType::kF32, 60, 2);
  const auto f = [&](const Doubles& at) { return Dot(dy, reference::Dropout(at, 12, mask)); };
  EXPECT_LE(GradientError(f, x, reference::Dropout(dy, 12, mask)), 1e-7);
}

TEST(Dropout, MatchesTheTwin) {
  Stream& stream = TestStream();
  for (const auto& [rows, columns] : {std::pair<int64_t, int64_t>{1, 1},
                                      {3, 8},
                                      {7, 13},
                                      {6, 12},
                                      {5, 128},
                                      {113, 239},
                                      {0, 8}}) {
    for (const DType dtype : kFloatTypes) {
      for (const double rate : {0.0, 0.1, 0.5, 0.99}) {
        const Doubles x = Normals(dtype, rows * columns, 1);
        Owned tx(dtype, {rows, columns}, x), y(dtype, {rows, columns});
        const reference::DropoutMask mask{
            .rate = rate, .key = 0x123456789abcdef, .first_row = kFarRow};
        const DropoutArgs args{
            .y = y, .x = tx, .rate = rate, .key = mask.key, .first_row = kFarRow};
        Dropout(stream, args);
        const Doubles twin = reference::Dropout(x, static_cast<size_t>(columns), mask),
                      got = y.Get();
        const std::string what = "y rate " + std::to_string(rate) + At(rows, columns);
        ExpectWithinBound(dtype, got, twin,
                          reference::Dropout(As<float>(x), static_cast<size_t>(columns), mask),
                          what);
        for (size_t i = 0; i < twin.size(); ++i) ASSERT_EQ(got[i] == 0.0, twin[i] == 0.0) << what;
        EXPECT_EQ(rate == 0.0 && got != x, false) << what;
        Dropout(stream, {.y = tx, .x = tx, .rate = rate, .key = mask.key, .first_row = kFarRow});
        EXPECT_EQ(tx.Bytes(), y.Bytes()) << what;
      }
    }
  }
}

// Rows that another rank has are masked as they would be here.
TEST(Dropout, RowsAreMaskedByTheirPlace) {
  constexpr int64_t kRows = 12, kColumns = 40, kBegin = 5;
  const Doubles ones(kRows * kColumns, 1.0);
  Owned x(DType::kF32, {kRows, kColumns}, ones), whole(DType::kF32, {kRows, kColumns});
  Dropout(TestStream(), {.y = whole, .x = x, .rate = 0.5, .key = 1, .first_row = kFarRow});
  Owned part(DType::kF32, {kRows - kBegin, kColumns});
  Dropout(TestStream(), {.y = part,
                         .x = x.tensor().Slice(0, kBegin, kRows),
                         .rate = 0.5,
                         .key = 1,
                         .first_row = kFarRow + kBegin});
  const Doubles all = whole.Get();
  EXPECT_EQ(part.Get(), Doubles(all.begin() + kBegin * kColumns, all.end()));
}

// Memory that vectors cannot be loaded from.
TEST(Dropout, StartsAnywhere) {
  constexpr int64_t kColumns = 16;
  for (const DType dtype : kFloatTypes) {
    const Doubles x = Normals(dtype, kColumns + 1, 1);
    Owned tx(dtype, {kColumns + 1}, x), y(dtype, {kColumns + 1});
    const auto row = [](const Owned& t) {
      return t.tensor().Slice(0, 1, kColumns + 1).Reshape({1, kColumns});
    };
    const DropoutArgs args{.y = row(y), .x = row(tx), .rate = 0.5, .key = 3};
    Dropout(TestStream(), args);
    const Doubles all = y.Get(), got(all.begin() + 1, all.end());
    EXPECT_TRUE(std::isnan(all[0]));
    EXPECT_EQ(got, reference::Dropout(Doubles(x.begin() + 1, x.end()), kColumns,
                                      {.rate = 0.5, .key = 3}));
  }
}

TEST(Dropout, WhatIsDroppedIsZeroWhateverItWas) {
  Owned x(DType::kF32, {4, 16}), y(DType::kF32, {4, 16});  // NaN
  Dropout(TestStream(), {.y = y, .x = x, .rate = 0.5, .key = 1});
  int zeros = 0;
  for (const double value : y.Get()) {
    EXPECT_TRUE(value == 0.0 || std::isnan(value)) << value;
    zeros += value == 0.0;
  }
  EXPECT_GT(zeros, 0);
}

// The share that is dropped, and that neighbours in a row, in a column, under the next key and in
// the other half of a word are dropped independently: counts of n draws of probability p, within 5
// standard deviations.
TEST(Dropout, DropsWithItsRateAndIndependently) {
  constexpr int64_t kRows = 512, kColumns = 512;
  constexpr double kRate = 0.2;
  Owned x(DType::kF32, {kRows, kColumns}, Doubles(kRows * kColumns, 1.0));
  Owned y(DType::kF32, {kRows, kColumns});
  const auto drops = [&](uint64_t key) {
    Dropout(TestStream(), {.y = y, .x = x, .rate = kRate, .key = key});
    std::vector<bool> dropped;
    for (const double value : y.Get()) dropped.push_back(value == 0.0);
    return dropped;
  };
  const std::vector<bool> a = drops(1), b = drops(2);
  const auto expect = [](double count, double n, double p, const char* what) {
    EXPECT_NEAR(count, n * p, 5.0 * std::sqrt(n * p * (1.0 - p))) << what;
  };
  double once = 0, keys = 0, n = 0, rows = 0, columns = 0, blocks = 0;
  for (int64_t r = 0; r + 1 < kRows; ++r) {
    for (int64_t c = 0; c + 8 < kColumns; ++c) {
      const int64_t at = r * kColumns + c;
      ++n;
      if (!a[at]) continue;
      ++once;
      keys += b[at];
      columns += a[at + 1];
      blocks += a[at + 8];
      rows += a[at + kColumns];
    }
  }
  expect(once, n, kRate, "the rate");
  expect(keys, n, kRate * kRate, "keys");
  expect(columns, n, kRate * kRate, "columns");
  expect(blocks, n, kRate * kRate, "blocks");
  expect(rows, n, kRate * kRate, "rows");
}

}  // namespace
}  // namespace tl
