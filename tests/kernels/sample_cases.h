// SPDX-License-Identifier: Apache-2.0
// Shapes and values for the tests of ops with numbers per sample.
#pragma once

#include "kernels/sample_rows.h"
#include "tests/kernels/kernel_test.h"
#include "tests/reference/modulated_norm.h"

namespace tl {

struct SampleCase {
  int64_t rows, width, count;
  SampleRows samples;

  Shape shape() const { return {rows, width}; }
  reference::SampleOfRow sample() const {
    return {static_cast<size_t>(samples.rows_per_sample), static_cast<size_t>(samples.first_row)};
  }
};

// A rank's rows that begin and end inside samples, samples before and after them, none at all, more
// rows than a piece or a block has, one row for each sample; and rows longer, or more, than what
// CUDA's kernels keep in registers or give one block.
inline constexpr SampleCase kSampleCases[] = {
    {1, 1, 1, {1, 0}},   {7, 7, 5, {3, 5}}, {113, 239, 4, {49, 30}}, {150, 384, 3, {149, 148}},
    {2, 531, 2, {1, 0}}, {0, 8, 2, {4, 2}}, {2, 8320, 1, {2, 0}},    {270, 40, 8, {36, 7}},
};

// Several vectors for each sample side by side, as in a slice of a product: fp32 [B, kParts, H].
class Modulation {
 public:
  static constexpr int kParts = 3;
  Modulation(const SampleCase& c, uint64_t key)
      : width_(c.width), tensor_(DType::kF32, {c.count, kParts * c.width}) {
    const Doubles all = Normals(DType::kF32, c.count * kParts * c.width, key);
    tensor_.Set(all);
    for (int k = 0; k < kParts; ++k) {
      for (int64_t b = 0; b < c.count; ++b) {
        const auto from = all.begin() + (b * kParts + k) * c.width;
        parts_[k].insert(parts_[k].end(), from, from + c.width);
      }
    }
  }
  const Doubles& part(int k) const { return parts_[k]; }
  Tensor view(int k) const { return tensor_.tensor().Slice(1, k * width_, (k + 1) * width_); }

 private:
  int64_t width_;
  Owned tensor_;
  Doubles parts_[kParts];
};

// The place of their gradients, every element a NaN.
class ModulationGradients {
 public:
  static constexpr int kParts = Modulation::kParts;
  explicit ModulationGradients(const SampleCase& c)
      : width_(c.width), tensor_(DType::kF32, {c.count, kParts * c.width}) {}

  Tensor view(int k) const { return tensor_.tensor().Slice(1, k * width_, (k + 1) * width_); }
  Doubles part(int k) const {
    const Doubles all = tensor_.Get();
    Doubles out;
    for (auto row = all.begin(); row != all.end(); row += kParts * width_)
      out.insert(out.end(), row + k * width_, row + (k + 1) * width_);
    return out;
  }
  // Samples without rows here have zeros.
  void ExpectZeros(int k, const SampleCase& c) const {
    const Doubles values = part(k);
    for (int64_t b = 0; b < c.count; ++b) {
      if (c.samples.Begin(b, c.rows) < c.samples.Begin(b + 1, c.rows)) continue;
      for (int64_t j = 0; j < width_; ++j) ASSERT_EQ(values[b * width_ + j], 0.0) << b << " " << j;
    }
  }
  void ExpectUntouched(int k) const {
    for (const double value : part(k)) ASSERT_TRUE(std::isnan(value));
  }

 private:
  int64_t width_;
  Owned tensor_;
};

}  // namespace tl
