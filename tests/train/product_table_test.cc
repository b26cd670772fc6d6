// SPDX-License-Identifier: Apache-2.0
#include "train/product_table.h"

#include <gtest/gtest.h>

namespace tl {
namespace {

TimedProduct Product(int64_t calls, std::vector<double> seconds) {
  TimedProduct product;
  product.seconds = std::move(seconds);
  product.made.calls = calls;
  const auto matrix = [](int64_t rows, int64_t columns, int64_t stride, DType dtype) {
    Tensor x = Tensor::Contiguous(nullptr, {rows, columns}, dtype);
    x.strides[0] = stride;
    return x;
  };
  product.made.args = {.c = matrix(1000, 200, 256, DType::kF32),
                       .a = matrix(50, 1000, 1000, DType::kBF16),
                       .b = matrix(50, 200, 208, DType::kBF16),
                       .trans_a = Transpose::kYes,
                       .beta = 1.0f};
  product.made.choices = {
      {.mask = 2, .place = 1, .id = 21, .tile = 18},
      {.mask = 2,
       .place = 2,
       .id = 24,
       .tile = 18,
       .parts = 3,
       .reduction = Reduction::kComputeType},
      {.mask = 7, .place = 2, .id = 66, .tile = 20, .parts = 2, .reduction = Reduction::kInPlace}};
  return product;
}

TEST(ProductTable, NamesTheWinnerAndItsGain) {
  const std::string table =
      ProductTable({Product(10, {1e-6, 0.9e-6, 0.5e-6}), Product(30, {1e-6, 1.1e-6, 1.2e-6})});
  for (const char* part :
       {" 10    1000     200      50 TN +=   bf16 to fp32  1000 208 256 ",
        " 0.0010    0.0005     40.0  50.0 %  2 of mask 0x7: algorithm 66, tile 20, 2 parts in "
        "place\n",
        " 0.0010    0.0010     20.0   0.0 %  1 of mask 0x2: algorithm 21, tile 18\n",
        // 40 us in all, 35 by the best, 39 by the best of the mask.
        "the best would take 12.5 % less time, the best of mask 0x2 2.5 % less\n"})
    EXPECT_NE(table.find(part), std::string::npos) << part << "\n" << table;
}

TEST(ProductTable, IsEmptyWithoutProducts) { EXPECT_EQ(ProductTable({}), ""); }

}  // namespace
}  // namespace tl
