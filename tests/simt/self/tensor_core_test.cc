// The instructions that tensor-core kernels live on: ldmatrix, mma and cp.async.
#include <gtest/gtest.h>

#include "base/philox.h"
#include "tests/simt/self/kernels.h"
#include "tests/simt/self/on_device.h"

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
