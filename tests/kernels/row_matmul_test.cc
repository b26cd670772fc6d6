// SPDX-License-Identifier: Apache-2.0
// Products for decoding: right against fp64, and every row with the same bits whatever goes with
// it.
#include "kernels/row_matmul.h"

#include <omp.h>

#include <array>
#include <limits>

#include "tests/kernels/kernel_test.h"

namespace tl {
namespace {

// A matrix [rows, columns] of normals in a buffer whose rows are `ld` elements apart, NaN between.
class Matrix {
 public:
  Matrix(DType dtype, int64_t rows, int64_t columns, int64_t ld, uint64_t key)
      : values_(Normals(dtype, rows * columns, key)), all_(dtype, {rows, ld}) {
    Doubles all(static_cast<size_t>(rows * ld), std::numeric_limits<double>::quiet_NaN());
    for (int64_t r = 0; r < rows; ++r) std::copy_n(&values_[r * columns], columns, &all[r * ld]);
    all_.Set(all);
    tensor = all_.tensor().Slice(1, 0, columns);
  }
  double operator()(int64_t r, int64_t c) const { return values_[r * tensor.shape[1] + c]; }
  Tensor tensor;

 private:
  Doubles values_;
  Owned all_;
};

// What a product of contiguous rows wrote, row by row.
std::vector<std::vector<uint8_t>> RowsOf(const Owned& y) {
  const std::vector<uint8_t> bytes = y.Bytes();
  const int64_t row = y.tensor().bytes() / y.tensor().shape[0];
  std::vector<std::vector<uint8_t>> rows;
  for (int64_t r = 0; r < y.tensor().shape[0]; ++r)
    rows.emplace_back(bytes.begin() + r * row, bytes.begin() + (r + 1) * row);
  return rows;
}

TEST(RowMatmul, IsRight) {
  const int64_t sizes[][3] = {{1, 1, 1},     {2, 5, 7},   {3, 4, 48},  {4, 66, 80},
                              {7, 130, 257}, {64, 9, 33}, {5, 33, 520}};
  for (const DType dtype : kFloatTypes) {
    for (const auto& [rows, outputs, width] : sizes) {
      for (const bool wide : {false, true}) {
        // Rows that vectors can be loaded from, and rows that start anywhere.
        for (const int64_t apart : {8, 3}) {
          const Matrix x(dtype, rows, width, (width + 7) / 8 * 8 + apart, 1);
          const Matrix w(dtype, outputs, width, (width + 7) / 8 * 8 + apart, 2);
          const Doubles bias = Normals(dtype, outputs, 3);
          const DType out = wide ? DType::kF32 : dtype;
          const Owned y(out, {rows, outputs + 2});
          RowMatmul(TestStream(), {.y = y.tensor().Slice(1, 0, outputs),
                                   .x = x.tensor,
                                   .w = w.tensor,
                                   .bias = Owned(dtype, {outputs}, bias)});
          const Doubles found = y.Get();
          const double ulp = out == DType::kF32 ? 0x1p-23 : out == DType::kBF16 ? 0x1p-8 : 0x1p-11;
          double worst = 0.0;  // error over bound
          for (int64_t r = 0; r < rows; ++r) {
            for (int64_t o = 0; o < outputs + 2; ++o) {
              const double value = found[r * (outputs + 2) + o];
              if (o >= outputs) {
                ASSERT_TRUE(std::isnan(value)) << "wrote beyond a row";
                continue;
              }
              double sum = bias[o], size = std::abs(sum);
              for (int64_t i = 0; i < width; ++i) {
                const double term = x(r, i) * w(o, i);
                sum += term;
                size += std::abs(term);
              }
              // The sum's own rounding errors, and one rounding of the result.
              const double bound =
                  static_cast<double>(width + 2) * 0x1p-24 * size + ulp * std::abs(sum);
              worst = Worse(worst, std::abs(value - sum) / bound);
            }
          }
          ExpectErrorWithin(
              dtype, worst, 1.0,
              (wide ? "wide_y" : "y") + At(rows, outputs) + "x" + std::to_string(width));
        }
      }
    }
  }
}

// The shapes of a small and of a middling model's products.
TEST(RowMatmul, RowsDoNotKnowEachOther) {
  std::vector<std::array<int64_t, 2>> shapes = {{192, 48}, {67, 80}};
  if (!kMachine) shapes.insert(shapes.end(), {{1152, 384}, {384, 1024}, {259, 768}});
  const int threads = omp_get_max_threads();
  const int64_t most = kMachine ? 16 : 64;
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    for (const auto& [outputs, width] : shapes) {
      const Matrix x(dtype, most, width, width, 1), w(dtype, outputs, width, width, 2);
      // The same rows where no vector can be loaded.
      const Matrix odd_x(dtype, most, width, width + 1, 1);
      std::vector<std::vector<uint8_t>> alone;
      for (int64_t r = 0; r < most; ++r) {
        const Owned y(dtype, {1, outputs});
        RowMatmul(TestStream(), {.y = y, .x = x.tensor.Slice(0, r, r + 1), .w = w.tensor});
        alone.push_back(RowsOf(y)[0]);
      }
      for (int64_t rows = 1; rows <= most; rows += rows < 8 ? 1 : 7) {
        omp_set_num_threads(1 + static_cast<int>(rows % 3));
        const int64_t first = most - rows;  // other rows in every place
        for (const Matrix* from : {&x, &odd_x}) {
          const Owned y(dtype, {rows, outputs});
          RowMatmul(TestStream(), {.y = y, .x = from->tensor.Slice(0, first, most), .w = w.tensor});
          const auto together = RowsOf(y);
          for (int64_t r = 0; r < rows; ++r)
            ASSERT_EQ(together[r], alone[first + r])
                << Name(dtype) << " " << outputs << "x" << width << ", row " << r << " of " << rows;
        }
      }
      omp_set_num_threads(threads);
    }
  }
}

}  // namespace
}  // namespace tl
