// SPDX-License-Identifier: Apache-2.0
// How many tokens' logits exist at once where the config does not say.
#include "nn/lm_loss.h"

#include <gtest/gtest.h>

#include "nn/embedding.h"

namespace tl {
namespace {

constexpr int64_t kVocabularies[] = {1, 203, 16384, 32000, 50257, 128256, 151936};

TEST(LossChunk, KeepsLogitsWithin128MiBOnCpus) {
  for (const DType compute : {DType::kF32, DType::kBF16, DType::kF16}) {
    EXPECT_EQ(LossChunk(DeviceType::kCpu, compute, 151936), 192);
    EXPECT_EQ(LossChunk(DeviceType::kCpu, compute, 50257), 640);
    EXPECT_EQ(LossChunk(DeviceType::kCpu, compute, 203), 165248);
    EXPECT_EQ(LossChunk(DeviceType::kCpu, compute, int64_t{1} << 30), 64);
  }
}

TEST(LossChunk, KeepsTheGradientsTrafficSmallOnGpus) {
  for (const DType compute : {DType::kBF16, DType::kF16}) {
    for (const int64_t vocab : {32000, 50257, 128256, 151936})
      EXPECT_EQ(LossChunk(DeviceType::kCuda, compute, vocab), 2048) << vocab;
  }
  // Without tensor cores 256 rows have work enough.
  EXPECT_EQ(LossChunk(DeviceType::kCuda, DType::kF32, 151936), 256);
}

TEST(LossChunk, IsNeverLessOnGpusThanOnCpus) {
  for (const int64_t vocab : kVocabularies) {
    for (const DType compute : {DType::kF32, DType::kBF16}) {
      EXPECT_GE(LossChunk(DeviceType::kCuda, compute, vocab),
                LossChunk(DeviceType::kCpu, compute, vocab))
          << vocab;
    }
  }
  EXPECT_EQ(LossChunk(DeviceType::kCuda, DType::kBF16, 203), 165248);
}

// The least that the rule asks for, from its own words: a tenth of the products' time, or 2048.
TEST(LossChunk, IsTheFewestRowsOfTheRule) {
  const auto part = [](double flops_per_second, double rows, double vocab, double hidden) {
    const double traffic = 8 * vocab * hidden / 4.8e12;
    return traffic / (6 * rows * vocab * hidden / flops_per_second);
  };
  EXPECT_LE(part(67e12, 256, 151936, 1536), 0.1);
  EXPECT_GT(part(989e12, 2048 - 256, 151936, 1536), 0.1);
  EXPECT_NEAR(part(989e12, 2048, 151936, 1536), 0.134, 0.001);
}

// A rank of four has a quarter of the vocabulary.
TEST(LossChunk, IsOfTheRanksPart) {
  const auto chunk = [](DeviceType device, int tensor_size, int64_t rows) {
    return LmLoss({.weight = VocabularySpec("w", 50257, 8, 0.02)}, {.batch = 1,
                                                                    .sequence_length = rows,
                                                                    .compute = DType::kBF16,
                                                                    .tensor_size = tensor_size,
                                                                    .device = device})
        .chunk();
  };
  EXPECT_EQ(chunk(DeviceType::kCpu, 1, 65536), 640);
  EXPECT_EQ(chunk(DeviceType::kCpu, 4, 65536), 2624);
  EXPECT_EQ(chunk(DeviceType::kCuda, 1, 65536), 2048);
  EXPECT_EQ(chunk(DeviceType::kCuda, 4, 65536), 2624);
  EXPECT_EQ(chunk(DeviceType::kCuda, 1, 1000), 1000);
}

}  // namespace
}  // namespace tl
