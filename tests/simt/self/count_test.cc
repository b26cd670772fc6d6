// SPDX-License-Identifier: Apache-2.0
// Bank conflicts and sectors: the count on patterns whose cost is known, and what the attention
// kernels have.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>

#include "kernels/attention.h"
#include "tests/simt/self/kernels.h"
#include "tests/simt/self/on_device.h"

namespace tl {
namespace {

using simt::AccessCounts;

AccessCounts OfStride(int stride) {
  Stream stream = Stream::On(kMachine);
  OnDevice<float> x(stream, Counting(1024)), y(stream, 32);
  simt::CountAccesses count;
  cuda::Strided(stream, x.data(), y.data(), stride);
  EXPECT_EQ(y.Get(stream)[31], static_cast<float>(31 * stride));
  return count.Of("StridedKernel");
}

TEST(Count, BankConflictsAndSectorsOfStrides) {
  for (const int stride : {1, 2, 3, 8, 32}) {
    const AccessCounts counts = OfStride(stride);
    const int conflicts = stride == 2 ? 1 : stride == 8 ? 7 : stride == 32 ? 31 : 0;
    EXPECT_EQ(counts.shared_instructions, 2) << stride;
    EXPECT_EQ(counts.bank_conflicts, 2 * conflicts) << stride;
    EXPECT_EQ(counts.global_instructions, 2) << stride;
    EXPECT_EQ(counts.least_sectors, 4 + 4) << stride;
    EXPECT_EQ(counts.global_sectors, 4 + std::min(4 * stride, 32)) << stride;
  }
}

TEST(Count, TheInnermostAlone) {
  simt::CountAccesses outer;
  {
    simt::CountAccesses inner;
    OfStride(32);
  }
  EXPECT_EQ(outer.Of("").shared_instructions, 0);
}

struct Conflicts {
  int64_t forward, prepare, backward, finish;
};

// Two tiles of queries and keys and a rest, causal; two heads share their keys.
Conflicts OfAttention(int64_t d) {
  constexpr int64_t kT = 300, kHeads = 2;
  Stream stream = Stream::On(kMachine);
  std::vector<OnDevice<uint16_t>> memory;
  const auto tensor = [&](int64_t heads) {
    memory.emplace_back(stream, std::vector<uint16_t>(kT * heads * d, 0x3c00));
    return Tensor::Contiguous(reinterpret_cast<std::byte*>(memory.back().data()), {1, kT, heads, d},
                              DType::kBF16, kMachine);
  };
  OnDevice<float> lse_memory(stream, kHeads * kT), delta_memory(stream, kHeads * kT);
  const auto row = [&](const OnDevice<float>& x) {
    return Tensor::Contiguous(reinterpret_cast<std::byte*>(x.data()), {1, kHeads, kT}, DType::kF32,
                              kMachine);
  };
  const Tensor q = tensor(kHeads), o = tensor(kHeads), d_o = tensor(kHeads), dq = tensor(kHeads);
  const Tensor k = tensor(1), v = tensor(1), dk = tensor(1), dv = tensor(1);
  simt::CountAccesses count;
  Attention(stream, {.o = o, .lse = row(lse_memory), .q = q, .k = k, .v = v});
  AttentionBackward(stream, {.dq = dq,
                             .dk = dk,
                             .dv = dv,
                             .delta = row(delta_memory),
                             .d_o = d_o,
                             .o = o,
                             .lse = row(lse_memory),
                             .q = q,
                             .k = k,
                             .v = v});
  stream.Synchronize();
  for (const char* kernel : {"ForwardKernel", "PrepareKernel", "BackwardKernel", "FinishKernel"}) {
    const AccessCounts counts = count.Of(kernel);
    EXPECT_GT(counts.global_instructions, 0) << kernel;
    std::printf("d %3d %-14s shared %6d, conflicts %5d; global %5d, sectors %6d of at least %6d\n",
                static_cast<int>(d), kernel, static_cast<int>(counts.shared_instructions),
                static_cast<int>(counts.bank_conflicts),
                static_cast<int>(counts.global_instructions),
                static_cast<int>(counts.global_sectors), static_cast<int>(counts.least_sectors));
  }
  return {count.Of("ForwardKernel").bank_conflicts, count.Of("PrepareKernel").bank_conflicts,
          count.Of("BackwardKernel").bank_conflicts, count.Of("FinishKernel").bank_conflicts};
}

TEST(Count, ConflictsOfAttention) {
  for (const int64_t d : {64, 96, 128, 192, 256}) {
    const Conflicts conflicts = OfAttention(d);
    EXPECT_EQ(conflicts.forward, 0) << d;
    EXPECT_EQ(conflicts.prepare, 0) << d;
    EXPECT_EQ(conflicts.backward, 0) << d;
    EXPECT_EQ(conflicts.finish, 0) << d;
  }
}

}  // namespace
}  // namespace tl
