// SPDX-License-Identifier: Apache-2.0
// Threads, warps, barriers and memory: right kernels run silently in every order, and each fault is
// found in every order.
#include <gtest/gtest.h>

#include <numeric>

#include "tests/simt/self/kernels.h"
#include "tests/simt/self/on_device.h"

namespace tl {
namespace {

using cuda::Fault;

// Runs f(stream) in every order; all must give `expected` in a report, or none where it is empty.
template <class F>
void Expect(const std::string& expected, const F& f) {
  InEveryOrder([&] {
    simt::CollectReports collected;
    {
      Stream stream = Stream::On(kMachine);
      f(stream);
      stream.Synchronize();
    }
    if (expected.empty()) {
      EXPECT_TRUE(collected.reports().empty()) << collected.reports()[0];
    } else {
      EXPECT_TRUE(collected.Has(expected))
          << (collected.reports().empty() ? "silence" : collected.reports()[0]);
    }
  });
}

void Sum(const std::string& expected, Fault fault) {
  Expect(expected, [&](Stream& stream) {
    OnDevice<float> x(stream, Counting(128)), y(stream, 4);
    cuda::SumBlock(stream, x.data(), y.data(), fault);
    if (fault != Fault::kNone) return;
    EXPECT_EQ(y.Get(stream), std::vector<float>(4, 127 * 64));
  });
}

TEST(Machine, SharesMemoryAcrossABlock) { Sum("", Fault::kNone); }
TEST(Machine, FindsAMissingBarrier) { Sum("race: ", Fault::kNoBarrier); }

void Reverse(const std::string& expected, Fault fault) {
  Expect(expected, [&](Stream& stream) {
    OnDevice<float> x(stream, Counting(128));
    cuda::ReverseTwice(stream, x.data(), fault);
    if (fault != Fault::kNone) return;
    const std::vector<float> y = x.Get(stream);
    for (int i = 0; i < 128; ++i) EXPECT_EQ(y[i], i + 2);
  });
}

TEST(Machine, ReusesABuffer) { Reverse("", Fault::kNone); }
TEST(Machine, FindsAMissingBarrierBeforeReuse) { Reverse("race: ", Fault::kNoSecondBarrier); }
TEST(Machine, FindsAnOverrunOfSharedMemory) {
  Reverse("out of bounds: 4 bytes at byte 512 of 512 of dynamic shared", Fault::kOverrun);
}
TEST(Machine, FindsAnUnderrunOfSharedMemory) {
  Reverse("out of bounds: 4 bytes at byte -4 of 512 of dynamic shared", Fault::kUnderrun);
}
TEST(Machine, FindsSharedMemoryNeverWritten) { Reverse("uninitialised", Fault::kUnwritten); }

void Swap(const std::string& expected, Fault fault) {
  Expect(expected, [&](Stream& stream) {
    OnDevice<float> x(stream, Counting(32)), y(stream, 32);
    cuda::SwapPairs(stream, x.data(), y.data(), fault);
    if (fault != Fault::kNone) return;
    const std::vector<float> out = y.Get(stream);
    for (int i = 0; i < 32; ++i) EXPECT_EQ(out[i], i ^ 1);
  });
}

TEST(Machine, OrdersAWarp) { Swap("", Fault::kNone); }
TEST(Machine, FindsAMissingSyncwarp) { Swap("race: ", Fault::kNoBarrier); }

void Hand(const std::string& expected, Fault fault) {
  Expect(expected, [&](Stream& stream) {
    OnDevice<float> x(stream, Counting(32)), y(stream, 32);
    cuda::HandOver(stream, x.data(), y.data(), fault);
    if (fault != Fault::kNone) return;
    const std::vector<float> out = y.Get(stream);
    for (int i = 0; i < 32; ++i) EXPECT_EQ(out[i], 31 - i);
  });
}

TEST(Machine, JoinsWarpsAtANamedBarrier) { Hand("", Fault::kNone); }
TEST(Machine, FindsAWrongNamedBarrier) { Hand("never come", Fault::kWrongBarrier); }

TEST(Machine, FindsAMissingNamedBarrier) {
  // Never-written memory where the reader comes first, a race where the writer does.
  InEveryOrder([] {
    simt::CollectReports collected;
    Stream stream = Stream::On(kMachine);
    OnDevice<float> x(stream, Counting(32)), y(stream, 32);
    cuda::HandOver(stream, x.data(), y.data(), Fault::kNoBarrier);
    stream.Synchronize();
    EXPECT_TRUE(collected.Has("race: ") || collected.Has("uninitialised"));
  });
}

void Halves(const std::string& expected, Fault fault) {
  Expect(expected, [&](Stream& stream) {
    OnDevice<float> x(stream, Counting(32)), y(stream, 2);
    cuda::SumHalves(stream, x.data(), y.data(), fault);
    if (fault != Fault::kNone) return;
    EXPECT_EQ(y.Get(stream), (std::vector<float>{120, 376}));
  });
}

TEST(Machine, RunsHalvesOfAWarpApart) { Halves("", Fault::kNone); }
TEST(Machine, FindsDivergence) { Halves("divergence: lane ", Fault::kDiverges); }

TEST(Machine, FindsALaneThatNeverComes) {
  InEveryOrder([] {
    simt::CollectReports collected;
    Stream stream = Stream::On(kMachine);
    OnDevice<float> x(stream, Counting(32)), y(stream, 2);
    cuda::SumHalves(stream, x.data(), y.data(), Fault::kLaneGone);
    stream.Synchronize();
    EXPECT_TRUE(collected.Has("a lane that has exited") || collected.Has("never come"));
  });
}

TEST(Machine, FindsAThreadThatSkipsABarrier) {
  InEveryOrder([] {
    simt::CollectReports collected;
    Stream stream = Stream::On(kMachine);
    OnDevice<float> x(stream, Counting(128)), y(stream, 4);
    cuda::SumBlock(stream, x.data(), y.data(), Fault::kThreadGone);
    stream.Synchronize();
    EXPECT_TRUE(collected.Has("have exited") || collected.Has("never come"));
  });
}

TEST(Machine, CountsThreadsOfPartialWarps) {
  for (int threads : {1, 31, 32, 33, 48, 1000, 1024}) {
    Expect("", [&](Stream& stream) {
      OnDevice<int> count(stream, 1);
      cuda::Count(stream, 3, threads, count.data());
      EXPECT_EQ(count.Get(stream)[0], 3 * threads);
    });
  }
}

void Copy(const std::string& expected, int n, int skew, Fault fault) {
  Expect(expected, [&](Stream& stream) {
    OnDevice<float> x(stream, Counting(n + skew)), y(stream, n);
    cuda::CopyFloats(stream, x.data(), y.data(), n, skew, fault);
    if (!expected.empty()) return;
    EXPECT_EQ(y.Get(stream), Counting(n));
  });
}

TEST(Machine, CopiesAnyLength) {
  for (int n : {1, 3, 4, 100, 127}) Copy("", n, 0, Fault::kNone);
}
TEST(Machine, FindsAnOverrunOfDeviceMemory) {
  Copy("out of bounds: 4 bytes", 63, 0, Fault::kOverrun);
}
TEST(Machine, FindsMisalignedVectors) { Copy("misaligned: ", 128, 1, Fault::kNone); }

TEST(Machine, FindsHostMemoryInAKernel) {
  std::vector<float> host(4);
  Expect("touches memory of the host",
         [&](Stream& stream) { cuda::AddOne(stream, host.data(), 4); });
}

TEST(Machine, FindsMemoryThatWasFreed) {
  Expect("out of bounds", [&](Stream& stream) {
    float* gone = nullptr;
    {
      OnDevice<float> x(stream, 4);
      gone = x.data();
      stream.Synchronize();
    }
    cuda::AddOne(stream, gone, 4);
  });
}

TEST(Machine, SaysWhere) {
  simt::CollectReports collected;
  Stream stream = Stream::On(kMachine);
  OnDevice<float> x(stream, Counting(128));
  cuda::ReverseTwice(stream, x.data(), Fault::kOverrun);
  stream.Synchronize();
  EXPECT_TRUE(collected.Has("block (0,0,0) thread (127,0,0)"));
  EXPECT_TRUE(collected.Has("ReverseKernel"));
  EXPECT_TRUE(collected.Has("kernels.cu:"));
}

TEST(Machine, EndsTheProcessWhereNobodyCollects) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        Stream stream = Stream::On(kMachine);
        OnDevice<float> x(stream, Counting(128));
        cuda::ReverseTwice(stream, x.data(), Fault::kUnwritten);
        stream.Synchronize();
      },
      "uninitialised");
}

void WaitInChain(const std::string& expected, Fault fault) {
  Expect(expected, [&](Stream& stream) {
    OnDevice<float> x(stream, 5);
    OnDevice<int> flags(stream, 6);
    cuda::Chain(stream, x.data(), flags.data(), 5, fault);
    if (fault != Fault::kNone) return;
    EXPECT_EQ(x.Get(stream), (std::vector<float>{1, 2, 3, 4, 5}));
  });
}

TEST(Machine, PassesATurnFromBlockToBlock) { WaitInChain("", Fault::kNone); }
TEST(Machine, FindsAFlagThatNoOneSets) {
  WaitInChain("waits for a flag that no one will set, found 1", Fault::kNoWait);
}

}  // namespace
}  // namespace tl
