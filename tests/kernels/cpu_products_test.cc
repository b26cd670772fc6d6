// SPDX-License-Identifier: Apache-2.0
// What `info` says of oneDNN, by its version and the instruction sets that it uses.
#include "kernels/cpu_products.h"

#include <gtest/gtest.h>

#include "kernels/cpu/onednn.h"

namespace tl {
namespace {

struct ProductCase {
  int major;
  unsigned isa;
  const char* name;
  bool bf16, fp16;
};

TEST(CpuProducts, FollowVersionAndInstructions) {
  const ProductCase cases[] = {
      {2, 0x1, "older than AVX2", false, false},
      {2, 0x7, "AVX2", false, false},
      {2, 0x407, "AVX2", false, false},
      {2, 0x67, "AVX-512", false, false},
      {2, 0xe7, "AVX-512 with bf16", true, false},
      {2, 0x3e7, "AMX", true, false},  // a CPU with fp16 too: oneDNN 2 knows nothing of it
      {3, 0x3, "older than AVX2", false, false},
      {3, 0xf, "AVX2", false, false},
      {3, 0x1f, "AVX2 with conversions of bf16 and fp16", false, false},
      {3, 0x27, "AVX-512", false, false},
      {3, 0xe7, "AVX-512 with bf16", true, false},
      {3, 0x1ef, "AVX-512 with bf16 and fp16", true, true},
      {3, 0xfef, "AMX", true, true},
      {3, 0x1fef, "AMX with fp16", true, true},
      {3, 0xffff, "AMX with fp16", true, true},  // what a later version adds
      {3, 0x0, "what it finds", false, false},
  };
  for (const ProductCase& c : cases) {
    const CpuProducts products = internal::DescribeOneDnn(c.major, 6, 1, c.isa);
    EXPECT_EQ(products.isa, c.name) << c.major << " " << c.isa;
    EXPECT_EQ(products.bf16, c.bf16) << c.major << " " << c.isa;
    EXPECT_EQ(products.fp16, c.fp16) << c.major << " " << c.isa;
    EXPECT_EQ(products.version, c.major == 2 ? "2.6.1" : "3.6.1");
  }
}

// What is said is what is done.
TEST(CpuProducts, AreThoseOfTheKernels) {
  EXPECT_EQ(cpu::ProductType(DType::kBF16) == DType::kBF16, GetCpuProducts().bf16);
  EXPECT_EQ(cpu::ProductType(DType::kF16), DType::kF32);
}

}  // namespace
}  // namespace tl
