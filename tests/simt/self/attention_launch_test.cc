// SPDX-License-Identifier: Apache-2.0
// What a pass of attention starts: blocks and scratch of the shapes that tests/gpu/run.sh times.
#include "kernels/cuda/attention_launch.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>

#include "tests/simt/self/on_device.h"

namespace tl {
namespace {

AttentionBackwardArgs ArgsOf(const AttentionSizes& at) {
  const auto tensor = [&](int64_t t, int64_t heads) {
    return Tensor::Contiguous(nullptr, {at.batch, t, heads, at.d}, DType::kBF16, kMachine);
  };
  const Tensor q = tensor(at.tq, at.q_heads), k = tensor(at.tk, at.k_heads);
  const Tensor row =
      Tensor::Contiguous(nullptr, {at.batch, at.q_heads, at.tq}, DType::kF32, kMachine);
  return {.dq = q,
          .dk = k,
          .dv = k,
          .delta = row,
          .d_o = q,
          .o = q,
          .lse = row,
          .q = q,
          .k = k,
          .v = k};
}

struct Model {
  const char* name;
  int64_t q_heads, k_heads, d;
  int64_t batch;  // sequences of 4096 in a micro-batch
};
constexpr Model kModels[] = {{"124m", 12, 12, 64, 8},
                             {"0.5b", 14, 2, 64, 4},
                             {"1.5b", 12, 2, 128, 2},
                             {"3b", 16, 2, 128, 1},
                             {"7b", 28, 4, 128, 1}};

TEST(AttentionLaunch, BlocksAreOverQueryHeads) {
  for (const Model& model : kModels) {
    for (const int64_t t : {1024, 4096}) {
      SCOPED_TRACE(std::string(model.name) + " " + std::to_string(t));
      const AttentionSizes at{.batch = model.batch * 4096 / t,
                              .tq = t,
                              .tk = t,
                              .q_heads = model.q_heads,
                              .k_heads = model.k_heads,
                              .d = model.d};
      const auto launch = cuda::LaunchOf(ArgsOf(at));
      ASSERT_TRUE(launch.has_value());
      EXPECT_EQ(launch->blocks(), at.batch * at.q_heads * t / launch->keys);
      // An H200 has 132 processors.
      EXPECT_GE(launch->blocks(), 3 * 132);
      const int64_t q = at.batch * t * at.q_heads * at.d, k = at.batch * t * at.k_heads * at.d;
      const int64_t sums = at.q_heads > at.k_heads ? 8 * k : 0;
      const auto bytes = static_cast<int64_t>(launch->scratch_bytes);
      std::printf("%s, length %4d: %4d blocks, scratch %.1f MiB, of it dK and dV %.1f\n",
                  model.name, static_cast<int>(t), static_cast<int>(launch->blocks()),
                  bytes / 1048576.0, sums / 1048576.0);
      EXPECT_GT(bytes, 4 * q + sums);
      EXPECT_LT(bytes, 1.05 * (4 * q + sums));
      EXPECT_LE(bytes, AttentionBackwardScratch(at));
    }
  }
}

TEST(AttentionLaunch, ScratchIsWithinItsBound) {
  for (const char* kib : {"227", "99"}) {
    ASSERT_EQ(setenv("TL_SIMT_SHARED_KIB", kib, 1), 0);
    for (int64_t d = 32; d <= 256; d += 8) {
      for (const int64_t t : {1, 31, 64, 128, 129, 1000}) {
        for (const int64_t k_heads : {1, 2, 6}) {
          const AttentionSizes at{
              .batch = 3, .tq = t, .tk = 1001 - t, .q_heads = 6, .k_heads = k_heads, .d = d};
          if (const auto launch = cuda::LaunchOf(ArgsOf(at))) {
            EXPECT_LE(static_cast<int64_t>(launch->scratch_bytes), AttentionBackwardScratch(at))
                << kib << " KiB, d " << d << ", T " << t << ", Hkv " << k_heads;
          } else {
            EXPECT_GT(d, 128) << kib << " KiB";
          }
        }
      }
    }
  }
  ASSERT_EQ(unsetenv("TL_SIMT_SHARED_KIB"), 0);
}

}  // namespace
}  // namespace tl
