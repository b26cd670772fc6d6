// SPDX-License-Identifier: Apache-2.0
// The largest elements of rows against a full sort of them.
#include "kernels/top_k.h"

#include <omp.h>

#include <limits>
#include <numeric>

#include "tests/kernels/kernel_test.h"

namespace tl {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

struct Top {
  std::vector<float> values;
  std::vector<int32_t> ids;
};

std::vector<int32_t> Ids(const Owned& owned) {
  const std::vector<uint8_t> bytes = owned.Bytes();
  std::vector<int32_t> out(static_cast<size_t>(owned.tensor().elements()));
  std::memcpy(out.data(), bytes.data(), out.size() * sizeof(int32_t));
  return out;
}

// x: rows of `columns`, `stride` apart.
Top TopOf(const std::vector<float>& x, int64_t columns, int64_t stride, int64_t k) {
  const int64_t rows = static_cast<int64_t>(x.size()) / stride;
  const Owned from({rows, stride}, x), values(DType::kF32, {rows, k}), ids(DType::kI32, {rows, k});
  TopK(TestStream(), {.values = values, .ids = ids, .x = from.tensor().Slice(1, 0, columns)});
  return {As<float>(values.Get()), Ids(ids)};
}

bool Before(float a, float b) { return std::isnan(b) ? !std::isnan(a) : a > b; }

Top ExpectedTop(const std::vector<float>& x, int64_t columns, int64_t stride, int64_t k) {
  Top top;
  for (size_t row = 0; row * stride < x.size(); ++row) {
    const float* const values = x.data() + row * stride;
    std::vector<int32_t> order(static_cast<size_t>(columns));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](int32_t a, int32_t b) { return Before(values[a], values[b]); });
    for (int64_t i = 0; i < k; ++i) {
      top.ids.push_back(i < columns ? order[i] : -1);
      top.values.push_back(i < columns ? values[order[i]] : -kInf);
    }
  }
  return top;
}

void ExpectSame(const Top& found, const Top& expected, const std::string& what) {
  EXPECT_EQ(found.ids, expected.ids) << what;
  ASSERT_EQ(found.values.size(), expected.values.size());
  for (size_t i = 0; i < found.values.size(); ++i) {
    const float a = found.values[i], b = expected.values[i];
    EXPECT_TRUE(a == b || (std::isnan(a) && std::isnan(b))) << what << " " << i << ": " << a;
  }
}

TEST(TopK, IsTheHeadOfASort) {
  for (const int64_t columns : {1, 7, 64, 1000, 4096, 4097, 9001}) {
    for (const int64_t k : {1, 2, 5, 128}) {
      if (k == 128 && columns != 64 && columns != 4097) continue;
      const int64_t stride = columns + 3, rows = 3;
      std::vector<float> x(static_cast<size_t>(rows * stride));
      // Behind the row's end there is what would be the largest.
      for (int64_t i = 0; i < rows * stride; ++i)
        x[i] = i % stride < columns ? PhiloxNormal(static_cast<uint64_t>(columns), i) : 100.0f;
      ExpectSame(TopOf(x, columns, stride, k), ExpectedTop(x, columns, stride, k),
                 std::to_string(columns) + " columns, " + std::to_string(k));
    }
  }
}

TEST(TopK, EqualsComeInTheirOrder) {
  const int64_t columns = 5000;
  std::vector<float> x(columns);
  for (int64_t i = 0; i < columns; ++i) x[i] = static_cast<float>(Philox(3, i, 0).w[0] % 4);
  ExpectSame(TopOf(x, columns, columns, 20), ExpectedTop(x, columns, columns, 20), "four values");
  std::fill(x.begin(), x.end(), -1.0f);
  x[4100] = -0.0f;
  x[4200] = 0.0f;
  const Top zeros = TopOf(x, columns, columns, 3);
  EXPECT_EQ(zeros.ids, (std::vector<int32_t>{4100, 4200, 0}));
}

TEST(TopK, InfinitiesAndNan) {
  const std::vector<float> x = {kNan, -kInf, 1.0f,  kNan, kInf,    -kInf,  2.0f,    // each kind
                                kNan, kNan,  kNan,  kNan, kNan,    kNan,   kNan,    // nothing else
                                0.0f, 0.0f,  -kInf, kNan, -1e-42f, 1e-42f, -1.0f};  // subnormals
  const Top found = TopOf(x, 7, 7, 7);
  ExpectSame(found, ExpectedTop(x, 7, 7, 7), "all");
  EXPECT_EQ(std::vector<int32_t>(found.ids.begin(), found.ids.begin() + 7),
            (std::vector<int32_t>{4, 6, 2, 1, 5, 0, 3}));
  ExpectSame(TopOf(x, 7, 7, 1), ExpectedTop(x, 7, 7, 1), "the largest");
  // NaN among the first elements gives way.
  std::vector<float> late(200, kNan);
  late[150] = -kInf;
  late[170] = -3.0f;
  ExpectSame(TopOf(late, 200, 200, 2), ExpectedTop(late, 200, 200, 2), "late");
}

// As on a rank that holds the padding of the vocabulary alone.
TEST(TopK, ShortRowsAreFilledUp) {
  const std::vector<float> x = {3.0f, 4.0f};
  const Top found = TopOf(x, 1, 1, 3);
  EXPECT_EQ(found.ids, (std::vector<int32_t>{0, -1, -1, 0, -1, -1}));
  EXPECT_EQ(found.values, (std::vector<float>{3.0f, -kInf, -kInf, 4.0f, -kInf, -kInf}));
  const Top none = TopOf(x, 0, 1, 2);
  EXPECT_EQ(none.ids, (std::vector<int32_t>(4, -1)));
  EXPECT_EQ(none.values, (std::vector<float>(4, -kInf)));
}

TEST(TopK, RowsAndThreadsChangeNothing) {
  const int64_t columns = 6000, rows = 4, k = 3;
  std::vector<float> x(static_cast<size_t>(rows * columns));
  for (size_t i = 0; i < x.size(); ++i) x[i] = PhiloxNormal(8, i);
  const int threads = omp_get_max_threads();
  omp_set_num_threads(3);
  const Top together = TopOf(x, columns, columns, k);
  omp_set_num_threads(threads);
  for (int64_t n = 0; n < rows; ++n) {
    const std::vector<float> row(x.begin() + n * columns, x.begin() + (n + 1) * columns);
    const Top alone = TopOf(row, columns, columns, k);
    for (int64_t i = 0; i < k; ++i) EXPECT_EQ(alone.ids[i], together.ids[n * k + i]);
  }
}

}  // namespace
}  // namespace tl
