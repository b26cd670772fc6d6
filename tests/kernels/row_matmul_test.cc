// Products for decoding: right against fp64, and every row with the same bits whatever goes with
// it.
#include "kernels/row_matmul.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "base/philox.h"

namespace tl {
namespace {

constexpr DType kTypes[] = {DType::kF32, DType::kBF16, DType::kF16};

// A matrix [rows, columns] in a buffer whose rows are `ld` elements apart, NaN in between.
class Matrix {
 public:
  Matrix(DType dtype, int64_t rows, int64_t columns, int64_t ld)
      : memory_(Buffer::Allocate({}, static_cast<size_t>(rows * ld) * SizeOf(dtype))) {
    std::memset(memory_.data(), 0xff, memory_.size());
    tensor = Tensor::Contiguous(memory_.data(), {rows, ld}, dtype).Slice(1, 0, columns);
  }
  void Fill(uint64_t key) {
    for (int64_t r = 0; r < tensor.shape[0]; ++r) {
      for (int64_t c = 0; c < tensor.shape[1]; ++c)
        Set(r, c, PhiloxNormal(key, static_cast<uint64_t>(r * tensor.shape[1] + c)));
    }
  }
  void Set(int64_t r, int64_t c, float x) {
    std::byte* p = At(r, c);
    if (tensor.dtype == DType::kF32) std::memcpy(p, &x, sizeof(x));
    if (tensor.dtype == DType::kBF16) Put(p, FromFloat<BF16>(x));
    if (tensor.dtype == DType::kF16) Put(p, FromFloat<F16>(x));
  }
  float Get(int64_t r, int64_t c) const {
    const std::byte* p = At(r, c);
    if (tensor.dtype == DType::kBF16) return ToFloat(Take<BF16>(p));
    if (tensor.dtype == DType::kF16) return ToFloat(Take<F16>(p));
    return Take<float>(p);
  }
  std::vector<std::byte> Row(int64_t r) const {
    return {At(r, 0), At(r, 0) + tensor.shape[1] * static_cast<int64_t>(SizeOf(tensor.dtype))};
  }
  Tensor tensor;

 private:
  template <typename T>
  static void Put(std::byte* p, T x) {
    std::memcpy(p, &x, sizeof(x));
  }
  template <typename T>
  static T Take(const std::byte* p) {
    T x;
    std::memcpy(&x, p, sizeof(x));
    return x;
  }
  std::byte* At(int64_t r, int64_t c) const {
    return tensor.data + (r * tensor.strides[0] + c) * static_cast<int64_t>(SizeOf(tensor.dtype));
  }
  Buffer memory_;
};

Tensor VectorOf(const Matrix& m) { return m.tensor.Reshape({m.tensor.shape[1]}); }

TEST(RowMatmul, IsRight) {
  Stream stream = Stream::Cpu();
  const int64_t sizes[][3] = {{1, 1, 1},   {2, 5, 7},     {3, 4, 48},
                              {4, 66, 80}, {7, 130, 257}, {64, 9, 33}};
  for (const DType dtype : kTypes) {
    for (const auto& [rows, outputs, width] : sizes) {
      for (const bool wide : {false, true}) {
        Matrix x(dtype, rows, width, width + 3), w(dtype, outputs, width, width + 5);
        Matrix bias(dtype, 1, outputs, outputs);
        Matrix y(wide ? DType::kF32 : dtype, rows, outputs, outputs + 2);
        x.Fill(1);
        w.Fill(2);
        bias.Fill(3);
        RowMatmul(stream, {.y = y.tensor, .x = x.tensor, .w = w.tensor, .bias = VectorOf(bias)});
        const double ulp = y.tensor.dtype == DType::kF32    ? 0x1p-23
                           : y.tensor.dtype == DType::kBF16 ? 0x1p-8
                                                            : 0x1p-11;
        for (int64_t r = 0; r < rows; ++r) {
          for (int64_t o = 0; o < outputs; ++o) {
            double sum = bias.Get(0, o), size = std::abs(sum);
            for (int64_t i = 0; i < width; ++i) {
              const double term = static_cast<double>(x.Get(r, i)) * w.Get(o, i);
              sum += term;
              size += std::abs(term);
            }
            // The sum's own rounding errors, and one rounding of the result.
            const double bound =
                static_cast<double>(width + 2) * 0x1p-24 * size + ulp * std::abs(sum);
            ASSERT_LE(std::abs(y.Get(r, o) - sum), bound)
                << Name(dtype) << " " << rows << "x" << outputs << "x" << width;
          }
        }
      }
    }
  }
}

// The shapes of a small and of a middling model's products.
TEST(RowMatmul, RowsDoNotKnowEachOther) {
  Stream stream = Stream::Cpu();
  const int64_t shapes[][2] = {{192, 48}, {67, 80}, {1152, 384}, {384, 1024}, {259, 768}};
  const int threads = omp_get_max_threads();
  constexpr int64_t kMost = 64;
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    for (const auto& [outputs, width] : shapes) {
      Matrix x(dtype, kMost, width, width), w(dtype, outputs, width, width);
      Matrix alone(dtype, kMost, outputs, outputs);
      x.Fill(1);
      w.Fill(2);
      for (int64_t r = 0; r < kMost; ++r)
        RowMatmul(stream, {.y = alone.tensor.Slice(0, r, r + 1),
                           .x = x.tensor.Slice(0, r, r + 1),
                           .w = w.tensor});
      for (int64_t rows = 1; rows <= kMost; rows += rows < 8 ? 1 : 7) {
        omp_set_num_threads(1 + static_cast<int>(rows % 3));
        Matrix y(dtype, rows, outputs, outputs);
        const int64_t first = kMost - rows;  // other rows in every place
        RowMatmul(stream, {.y = y.tensor, .x = x.tensor.Slice(0, first, kMost), .w = w.tensor});
        for (int64_t r = 0; r < rows; ++r)
          ASSERT_EQ(y.Row(r), alone.Row(first + r))
              << Name(dtype) << " " << outputs << "x" << width << ", row " << r << " of " << rows;
      }
      omp_set_num_threads(threads);
    }
  }
}

}  // namespace
}  // namespace tl
