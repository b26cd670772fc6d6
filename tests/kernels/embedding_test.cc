// SPDX-License-Identifier: Apache-2.0
#include "kernels/embedding.h"

#include <omp.h>

#include "tests/gradcheck.h"
#include "tests/kernels/kernel_test.h"
#include "tests/reference/embedding.h"

namespace tl {
namespace {

struct EmbeddingCase {
  int64_t tokens, width, vocabulary, begin, rows;
};
constexpr EmbeddingCase kEmbeddingCases[] = {{1, 1, 1, 0, 1},         {7, 7, 11, 0, 11},
                                             {113, 239, 50, 25, 25},  {1023, 113, 19, 10, 9},
                                             {239, 768, 300, 0, 300}, {0, 8, 4, 0, 4}};

TEST(EmbeddingTwin, FiniteDifferences) {
  const std::vector<int32_t> tokens = {3, 1, 3, 0, 6};
  const Doubles table = Normals(DType::kF32, 4 * 3, 1), dy = Normals(DType::kF32, 5 * 3, 2);
  const auto f = [&](const Doubles& at) { return Dot(dy, reference::Embedding(at, tokens, 3, 1)); };
  Doubles grad(table.size());
  reference::EmbeddingBackward(grad, dy, tokens, 3, 1);
  EXPECT_LE(GradientError(f, table, grad), 1e-7);
}

TEST(Embedding, CopiesRows) {
  Stream& stream = TestStream();
  for (const auto& c : kEmbeddingCases) {
    const std::vector<int32_t> tokens = Integers(c.tokens, static_cast<int32_t>(c.vocabulary), 3);
    for (const DType dtype : kFloatTypes) {
      const Doubles table = Normals(dtype, c.rows * c.width, 1);
      Owned y(dtype, {c.tokens, c.width});
      const Owned tt(dtype, {c.rows, c.width}, table);
      const Owned placed({c.tokens}, tokens);
      Embedding(stream, {.y = y, .tokens = placed, .table = tt, .begin = c.begin});
      EXPECT_EQ(y.Get(), reference::Embedding(table, tokens, c.width, c.begin));
    }
  }
}

TEST(EmbeddingBackward, AddsInTokenOrder) {
  Stream& stream = TestStream();
  for (const auto& c : kEmbeddingCases) {
    const std::vector<int32_t> tokens = Integers(c.tokens, static_cast<int32_t>(c.vocabulary), 3);
    for (const DType dtype : kFloatTypes) {
      const Doubles dy = Normals(dtype, c.tokens * c.width, 1);
      const Doubles before = Normals(DType::kF32, c.rows * c.width, 2);
      // The order is the plain loop's, so fp32 sums have its bits whatever the number of threads.
      std::vector<float> ref = As<float>(before);
      reference::EmbeddingBackward(ref, As<float>(dy), tokens, c.width, c.begin);
      for (const int threads : {1, 2, 5}) {
        omp_set_num_threads(threads);
        Owned d_table(DType::kF32, {c.rows, c.width}, before);
        const Owned tdy(dtype, {c.tokens, c.width}, dy), placed({c.tokens}, tokens);
        EmbeddingBackward(stream,
                          {.d_table = d_table, .tokens = placed, .dy = tdy, .begin = c.begin});
        EXPECT_EQ(d_table.Get(), Doubles(ref.begin(), ref.end())) << At(c.tokens, c.width);
      }
    }
  }
}

}  // namespace
}  // namespace tl
