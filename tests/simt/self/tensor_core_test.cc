// SPDX-License-Identifier: Apache-2.0
// The instructions that tensor-core kernels live on: ldmatrix, mma and cp.async.
#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "base/philox.h"
#include "kernels/matmul.h"
#include "tests/simt/self/kernels.h"
#include "tests/simt/self/on_device.h"
#include "tests/simt/tensor_core.h"

namespace tl {
namespace {

using cuda::Fault;

struct Matrices {
  std::vector<float> a, b, d;
};

// Small integers: products and sums are exact.
Matrices Integers() {
  Matrices m{std::vector<float>(256), std::vector<float>(128), std::vector<float>(128)};
  for (int i = 0; i < 256; ++i) m.a[i] = static_cast<float>(Philox(1, i, 0).w[0] % 15) - 7;
  for (int i = 0; i < 128; ++i) m.b[i] = static_cast<float>(Philox(2, i, 0).w[0] % 15) - 7;
  for (int r = 0; r < 16; ++r)
    for (int c = 0; c < 8; ++c)
      for (int k = 0; k < 16; ++k) m.d[r * 8 + c] += m.a[r * 16 + k] * m.b[k * 8 + c];
  return m;
}

template <class T>
std::vector<T> Narrowed(const std::vector<float>& x) {
  std::vector<T> out;
  for (float value : x) out.push_back(T(value));
  return out;
}

std::vector<float> Product(bool ldmatrix, Fault fault) {
  const Matrices m = Integers();
  Stream stream = Stream::On(kMachine);
  OnDevice<__nv_bfloat16> a(stream, Narrowed<__nv_bfloat16>(m.a)),
      b(stream, Narrowed<__nv_bfloat16>(m.b));
  OnDevice<float> d(stream, 128);
  cuda::Product(stream, a.data(), b.data(), d.data(), ldmatrix, fault);
  return d.Get(stream);
}

TEST(TensorCore, MultipliesByLdmatrix) {
  InEveryOrder([] { EXPECT_EQ(Product(true, Fault::kNone), Integers().d); });
}
TEST(TensorCore, MultipliesFragmentsLaidByHand) {
  InEveryOrder([] { EXPECT_EQ(Product(false, Fault::kNone), Integers().d); });
}
TEST(TensorCore, AWrongFragmentGivesAWrongProduct) {
  InEveryOrder([] {
    EXPECT_NE(Product(true, Fault::kWrongFragment), Integers().d);
    EXPECT_NE(Product(false, Fault::kWrongFragment), Integers().d);
  });
}
TEST(TensorCore, FindsAMisalignedRow) {
  simt::CollectReports collected;
  Product(true, Fault::kMisaligned);
  EXPECT_TRUE(collected.Has("not 16-byte aligned"));
}

TEST(TensorCore, MultipliesFp16) {
  const Matrices m = Integers();
  Stream stream = Stream::On(kMachine);
  OnDevice<__half> a(stream, Narrowed<__half>(m.a)), b(stream, Narrowed<__half>(m.b));
  OnDevice<float> d(stream, 128);
  cuda::ProductFp16(stream, a.data(), b.data(), d.data());
  EXPECT_EQ(d.Get(stream), m.d);
}

// sum + x_0 1 + ... + x_15 1, where one or two x are given and `rest` stands for the others.
float Sum(float sum, float x0, float x1, float rest, float factor = 1.0f) {
  std::array<float, 16> a, b;
  a.fill(rest);
  a[0] = x0;
  a[1] = x1;
  b.fill(1.0f);
  b[0] = factor;
  return simt::TensorCoreSum(sum, a.data(), b.data(), -126);
}

// By hand, after the published measurements; what IEEE additions give stands beside it.
TEST(TensorCoreSum, KeepsTwoBitsBehindThoseOfFp32) {
  // 15 2^-25 are there, and 3 2^-23 of them remain; IEEE: none.
  EXPECT_EQ(Sum(0, 1, 0x1p-25f, 0x1p-25f), 1 + 0x3p-23f);
  EXPECT_EQ(Sum(0, 1, 0x1p-26f, 0x1p-26f), 1.0f);
  // The same with 1 in the accumulator: 16 2^-25.
  EXPECT_EQ(Sum(1, 0x1p-25f, 0x1p-25f, 0x1p-25f), 1 + 0x1p-21f);
  EXPECT_EQ(Sum(1, 0x1p-26f, 0x1p-26f, 0x1p-26f), 1.0f);
}
TEST(TensorCoreSum, TruncatesTowardsZero) {
  EXPECT_EQ(Sum(1, 0x1.8p-24f, 0, 0), 1.0f);  // to nearest: 1 + 2^-23
  EXPECT_EQ(Sum(-1, -0x1.8p-24f, 0, 0), -1.0f);
  EXPECT_EQ(Sum(1, -0x1p-25f, 0, 0), 1 - 0x1p-24f);  // to nearest: 1
  EXPECT_EQ(Sum(-1, 0x1p-25f, 0, 0), -1 + 0x1p-24f);
  EXPECT_EQ(Sum(1, -0x1p-26f, 0, 0), 1.0f);
}
TEST(TensorCoreSum, AlignsToWhatCancels) {
  // 2^-25 beside 2 is below the last bit, although nothing of size 2 is left.
  EXPECT_EQ(Sum(2, -2, 0x1p-25f, 0), 0.0f);
  EXPECT_EQ(Sum(2, -2, 0x1p-24f, 0), 0x1p-24f);
}
TEST(TensorCoreSum, DoesNotNormaliseProductsOrPartialSums) {
  // 1.5 1.5 = 2.25 has the exponent 0: 2^-25 counts, and 15 of them are 1.875 2^-22.
  EXPECT_EQ(Sum(0, 1.5f, 0x1p-25f, 0x1p-25f, 1.5f), 2.25f + 0x1p-22f);
  // With 2.25 1 it is 1.
  EXPECT_EQ(Sum(0, 2.25f, 0x1p-25f, 0x1p-25f), 2.25f);
  // 1 + 1 reaches 2 on the way, and 2^-25 still counts.
  EXPECT_EQ(Sum(1, 1, -1, 0x1p-25f), 1 + 0x3p-23f);
}
TEST(TensorCoreSum, TakesSubnormalsAndWhatIsNotFinite) {
  EXPECT_EQ(Sum(0, 0x1p-130f, 0x1p-130f, 0), 0x1p-129f);
  EXPECT_EQ(Sum(0, HUGE_VALF, 1, 0), HUGE_VALF);
  EXPECT_TRUE(std::isnan(Sum(-HUGE_VALF, HUGE_VALF, 1, 0)));
  EXPECT_EQ(Sum(0, 0, 0, 0), 0.0f);
}

// Row 0 of a is 1, 2^-13, 2^-13, ..; column 0 of b is 1, 2^-12, 2^-12, ..
Matrices Small() {
  Matrices m{std::vector<float>(256), std::vector<float>(128), {}};
  for (int k = 0; k < 16; ++k) {
    m.a[k] = k == 0 ? 1.0f : 0x1p-13f;
    m.b[k * 8] = k == 0 ? 1.0f : 0x1p-12f;
  }
  return m;
}
template <class F>
void InBothModes(const F& f) {
  EXPECT_EQ(f(), 1.0f);
  simt::SetMmaSums(simt::MmaSums::kTruncated);
  EXPECT_EQ(f(), 1 + 0x3p-23f);
  simt::SetMmaSums(simt::MmaSums::kRounded);
}
TEST(TensorCoreSum, IsWhatMmaMakesWhereAsked) {
  if (simt::CurrentMmaSums() == simt::MmaSums::kTruncated) GTEST_SKIP();
  const Matrices m = Small();
  InBothModes([&] {
    Stream stream = Stream::On(kMachine);
    OnDevice<__half> a(stream, Narrowed<__half>(m.a)), b(stream, Narrowed<__half>(m.b));
    OnDevice<float> d(stream, 128);
    cuda::ProductFp16(stream, a.data(), b.data(), d.data());
    return d.Get(stream)[0];
  });
}
TEST(TensorCoreSum, IsWhatMatmulMakesWhereAsked) {
  if (simt::CurrentMmaSums() == simt::MmaSums::kTruncated) GTEST_SKIP();
  const Matrices m = Small();
  const auto product = [&](auto type, DType dtype) {
    using T = decltype(type);
    Stream stream = Stream::On(kMachine);
    OnDevice<T> a(stream, Narrowed<T>(m.a)), b(stream, Narrowed<T>(m.b));
    OnDevice<float> d(stream, 128);
    const auto view = [](auto& x, Shape shape, DType of) {
      return Tensor::Contiguous(reinterpret_cast<std::byte*>(x.data()), shape, of, kMachine);
    };
    Matmul(stream, {.c = view(d, {16, 8}, DType::kF32),
                    .a = view(a, {16, 16}, dtype),
                    .b = view(b, {16, 8}, dtype)});
    return d.Get(stream)[0];
  };
  InBothModes([&] { return product(__half(), DType::kF16); });
  // fp32 never goes through tensor cores.
  simt::SetMmaSums(simt::MmaSums::kTruncated);
  EXPECT_EQ(product(0.0f, DType::kF32), 1.0f);
  simt::SetMmaSums(simt::MmaSums::kRounded);
}

void Pipeline(const std::string& expected, Fault fault) {
  InEveryOrder([&] {
    simt::CollectReports collected;
    Stream stream = Stream::On(kMachine);
    OnDevice<float> x(stream, Counting(512)), y(stream, 512);
    cuda::Pipeline(stream, x.data(), y.data(), fault);
    const std::vector<float> out = y.Get(stream);
    if (expected.empty()) {
      EXPECT_TRUE(collected.reports().empty()) << collected.reports()[0];
      for (int i = 0; i < 512; ++i) EXPECT_EQ(out[i], i / 128 * 128 + (i + 1) % 128 + 1);
    } else {
      EXPECT_TRUE(collected.Has(expected))
          << (collected.reports().empty() ? "silence" : collected.reports()[0]);
    }
  });
}

TEST(AsyncCopy, FillsBuffersAhead) { Pipeline("", Fault::kNone); }
TEST(AsyncCopy, FindsAMissingWait) { Pipeline("cp.async is in flight", Fault::kNoWait); }
TEST(AsyncCopy, FindsAWaitForTooFew) { Pipeline("cp.async is in flight", Fault::kWaitTooFew); }
TEST(AsyncCopy, FindsAMissingBarrierAfterTheWait) { Pipeline("race: ", Fault::kNoBarrier); }
TEST(AsyncCopy, FindsAMissingBarrierBeforeReuse) { Pipeline("race: ", Fault::kNoSecondBarrier); }
TEST(AsyncCopy, FindsCopiesNeverWaitedFor) { Pipeline("never waited for", Fault::kNeverWaits); }
TEST(AsyncCopy, FindsAMisalignedCopy) { Pipeline("misaligned: cp.async", Fault::kMisaligned); }

}  // namespace
}  // namespace tl
