// SPDX-License-Identifier: Apache-2.0
// Collectives of tensors in the memory of CUDA devices, by every transport that can serve them
// here: staged through the host, on any number of ranks, and NCCL, where each rank has a GPU of its
// own.
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <vector>

#include "base/philox.h"
#include "comm/host.h"
#include "comm/mesh.h"
#include "comm/nccl.h"
#include "comm/nccl_api.h"
#include "device/cuda.h"
#include "mpi_main.h"

namespace tl {
namespace {

using test::World;

class OverTransport : public testing::TestWithParam<Transport> {
 protected:
  static void SetUpTestSuite() {
    const int devices = cuda::DeviceCount();
    if (devices == 0) return;
    const int local_rank = LocalRank(World());
    device_ = {DeviceType::kCuda, local_rank % devices};
    if (devices < LocalRanks(World()) || !nccl::GetLibrary().absent.empty()) return;
    auto world = MakeNcclWorld(World(), {.device = device_});
    TL_CHECK_OK(world.status());
    nccl_ = std::move(world).value();
  }
  static void TearDownTestSuite() { nccl_.reset(); }

  void SetUp() override {
    if (cuda::DeviceCount() == 0) GTEST_SKIP() << cuda::GetPlatform().absent;
    if (GetParam() == Transport::kNccl && nccl_ == nullptr)
      GTEST_SKIP() << cuda::DeviceCount() << " device(s) for " << LocalRanks(World())
                   << " ranks; NCCL: " << nccl::GetLibrary().absent;
    stream_.emplace(Stream::On(device_));
  }
  void TearDown() override { stream_.reset(); }

  bool nccl() const { return GetParam() == Transport::kNccl; }
  Communicator& world() const { return nccl() ? *nccl_ : World(); }
  int size() const { return world().size(); }
  int rank() const { return world().rank(); }
  Stream& stream() { return *stream_; }

  // Memory on the device; what is not uploaded holds NaNs.
  struct Owned {
    Buffer memory;
    Tensor tensor;
    operator Tensor() const { return tensor; }
  };
  Owned Make(DType dtype, int64_t n) {
    Owned out;
    const size_t bytes = static_cast<size_t>(n) * SizeOf(dtype);
    out.memory = Buffer::Allocate(device_, bytes);
    const std::vector<std::byte> poison(bytes, std::byte{0xff});
    CopyBytes(stream(), out.memory.data(), poison.data(), bytes);
    out.tensor = Tensor::Contiguous(out.memory.data(), {n}, dtype, device_);
    return out;
  }
  template <typename T>
  Owned Upload(const std::vector<T>& values) {
    Owned out = Make(DTypeOf<T>::value, static_cast<int64_t>(values.size()));
    CopyBytes(stream(), out.memory.data(), reinterpret_cast<const std::byte*>(values.data()),
              values.size() * sizeof(T));
    return out;
  }
  template <typename T>
  std::vector<T> Download(const Tensor& x) {
    std::vector<T> out(x.elements());
    CopyBytes(stream(), reinterpret_cast<std::byte*>(out.data()), x.data, out.size() * sizeof(T));
    return out;
  }

  static inline Device device_;
  static inline std::unique_ptr<Communicator> nccl_;
  std::optional<Stream> stream_;
};
INSTANTIATE_TEST_SUITE_P(, OverTransport, testing::Values(Transport::kStaged, Transport::kNccl),
                         [](const auto& info) {
                           return info.param == Transport::kStaged ? "Staged" : "Nccl";
                         });

// Values whose sums round differently in another order.
template <typename T>
T Value(int rank, int64_t i) {
  const uint32_t word = Philox(7, rank, i).w[0];
  if constexpr (std::is_integral_v<T>) {
    return static_cast<T>(word >> 8);
  } else {
    return FromFloat<T>(std::ldexp(static_cast<float>(word >> 8) / 8388608.0f - 1.0f,
                                   static_cast<int>(word % 7) - 3));
  }
}
template <typename T>
std::vector<T> Values(int rank, int64_t n) {
  std::vector<T> out(n);
  for (int64_t i = 0; i < n; ++i) out[i] = Value<T>(rank, i);
  return out;
}

// Half an ulp of the type, relative, for each of the additions.
template <typename T>
double Rounding() {
  return DTypeOf<T>::value == DType::kF32   ? 0x1p-24
         : DTypeOf<T>::value == DType::kF16 ? 0x1p-11
                                            : 0x1p-8;
}

// The sum of element i over all ranks: of integers exactly; else within the rounding of each
// partial sum, whatever their order.
template <typename T>
void ExpectSum(T got, int ranks, int64_t i) {
  if constexpr (std::is_integral_v<T>) {
    T want = 0;
    for (int r = 0; r < ranks; ++r) want += Value<T>(r, i);
    ASSERT_EQ(got, want) << i;
  } else {
    double want = 0, magnitude = 0;
    for (int r = 0; r < ranks; ++r) {
      want += ToFloat(Value<T>(r, i));
      magnitude += std::fabs(ToFloat(Value<T>(r, i)));
    }
    ASSERT_NEAR(ToFloat(got), want, ranks * Rounding<T>() * magnitude) << i;
  }
}

template <typename F>
void ForEachType(const F& test) {
  test(float{});
  test(BF16{});
  test(F16{});
  test(int32_t{});
  test(int64_t{});
}

TEST_P(OverTransport, AllReduce) {
  for (const int64_t n : {0, 1, 3, 1000, 4097}) {
    ForEachType([&](auto zero) {
      using T = decltype(zero);
      SCOPED_TRACE(std::string(Name(DTypeOf<T>::value)) + " " + std::to_string(n));
      Owned x = Upload(Values<T>(rank(), n));
      world().AllReduce(stream(), x);
      const std::vector<T> got = Download<T>(x);
      for (int64_t i = 0; i < n; ++i) ExpectSum(got[i], size(), i);
      // The same bits on all ranks.
      std::vector<T> first = got;
      Stream cpu = Stream::Cpu();
      World().Broadcast(cpu,
                        Tensor::Of(reinterpret_cast<uint8_t*>(first.data()),
                                   {static_cast<int64_t>(n * sizeof(T))}),
                        0);
      EXPECT_TRUE(n == 0 || std::memcmp(first.data(), got.data(), n * sizeof(T)) == 0);
    });
  }
}

TEST_P(OverTransport, Max) {
  Owned x = Upload(std::vector<float>{static_cast<float>(rank()), -static_cast<float>(rank()),
                                      -std::numeric_limits<float>::infinity()});
  world().AllReduce(stream(), x, ReduceOp::kMax);
  EXPECT_EQ(Download<float>(x), (std::vector<float>{static_cast<float>(size() - 1), 0.0f,
                                                    -std::numeric_limits<float>::infinity()}));
}

TEST_P(OverTransport, ReduceScatterAndInPlace) {
  for (const int64_t part : {0, 1, 5, 1023, 4096}) {
    ForEachType([&](auto zero) {
      using T = decltype(zero);
      SCOPED_TRACE(part);
      Owned in = Upload(Values<T>(rank(), part * size()));
      Owned out = Make(DTypeOf<T>::value, part);
      world().ReduceScatter(stream(), out, in);
      const Tensor own = in.tensor.Slice(0, rank() * part, (rank() + 1) * part);
      world().ReduceScatter(stream(), own, in);
      const std::vector<T> got = Download<T>(out), in_place = Download<T>(own);
      for (int64_t i = 0; i < part; ++i) {
        ExpectSum(got[i], size(), rank() * part + i);
        ExpectSum(in_place[i], size(), rank() * part + i);
      }
    });
  }
}

TEST_P(OverTransport, AllGatherAndInPlace) {
  for (const int64_t n : {0, 1, 1023}) {
    ForEachType([&](auto zero) {
      using T = decltype(zero);
      SCOPED_TRACE(n);
      std::vector<T> want;
      for (int r = 0; r < size(); ++r) {
        const std::vector<T> part = Values<T>(r, n);
        want.insert(want.end(), part.begin(), part.end());
      }
      Owned in = Upload(Values<T>(rank(), n));
      Owned out = Make(DTypeOf<T>::value, n * size()), both = Make(DTypeOf<T>::value, n * size());
      const Tensor own = both.tensor.Slice(0, rank() * n, (rank() + 1) * n);
      CopyBytes(stream(), own.data, in.tensor.data, own.bytes());
      world().AllGather(stream(), out, in);
      world().AllGather(stream(), both, own);
      for (const Tensor& x : {out.tensor, both.tensor}) {
        const std::vector<T> got = Download<T>(x);
        EXPECT_TRUE(n == 0 || std::memcmp(got.data(), want.data(), want.size() * sizeof(T)) == 0);
      }
    });
  }
}

TEST_P(OverTransport, BroadcastFromEveryRoot) {
  for (int root = 0; root < size(); ++root) {
    for (const int64_t n : {0, 1, 9001}) {
      Owned x = rank() == root ? Upload(Values<int32_t>(root, n)) : Make(DType::kI32, n);
      world().Broadcast(stream(), x, root);
      EXPECT_EQ(Download<int32_t>(x), Values<int32_t>(root, n)) << root;
    }
  }
}

TEST_P(OverTransport, ExchangeAllToAllWithUnequalSizes) {
  const auto count = [](int from, int to) { return int64_t{from} * 100 + to; };
  std::vector<Owned> sends, receives;
  std::vector<Communicator::Transfer> transfers;
  for (int peer = 0; peer < size(); ++peer) {
    sends.push_back(Upload(std::vector<int32_t>(count(rank(), peer), rank() * 10 + peer)));
    receives.push_back(Make(DType::kI32, count(peer, rank())));
    transfers.push_back({.peer = peer, .send = sends.back(), .recv = receives.back()});
  }
  world().Exchange(stream(), transfers);
  for (int peer = 0; peer < size(); ++peer) {
    EXPECT_EQ(Download<int32_t>(receives[peer]),
              std::vector<int32_t>(count(peer, rank()), peer * 10 + rank()));
  }
}

TEST_P(OverTransport, ExchangeKeepsTheOrderOfMessages) {
  const int next = (rank() + 1) % size(), previous = (rank() + size() - 1) % size();
  const Owned a = Upload(std::vector<int32_t>{rank()}), b = Upload(std::vector<int32_t>{-rank()});
  const Owned c = Make(DType::kI32, 1), d = Make(DType::kI32, 1);
  const std::vector<Communicator::Transfer> transfers = {{.peer = next, .send = a, .recv = {}},
                                                         {.peer = next, .send = b, .recv = {}},
                                                         {.peer = previous, .send = {}, .recv = c},
                                                         {.peer = previous, .send = {}, .recv = d}};
  world().Exchange(stream(), transfers);
  EXPECT_EQ(Download<int32_t>(c), std::vector<int32_t>{previous});
  EXPECT_EQ(Download<int32_t>(d), std::vector<int32_t>{-previous});
}

TEST_P(OverTransport, TensorsOfTheHostAndSplits) {
  int64_t sum = rank();
  world().AllReduce(stream(), Tensor::Of(&sum, {1}));
  EXPECT_EQ(sum, size() * (size() - 1) / 2);
  const auto pairs = world().Split(rank() % 2, -rank());
  Owned x = Upload(std::vector<int32_t>{rank()});
  pairs->AllReduce(stream(), x);
  int32_t want = 0;
  for (int r = rank() % 2; r < size(); r += 2) want += r;
  EXPECT_EQ(Download<int32_t>(x), std::vector<int32_t>{want});
  EXPECT_EQ(pairs->rank(), pairs->size() - 1 - rank() / 2);
  world().Barrier(stream());
}

// What a step does: reductions of buckets on one stream while another computes and communicates,
// and the second waits for the first by an event.
TEST_P(OverTransport, TwoStreamsOverlap) {
  Stream comm = Stream::On(device_, Stream::Mode::kAsync);
  const int64_t part = 3000, n = part * size();
  std::vector<Owned> in, out, small;
  std::vector<Event> ready;
  for (int b = 0; b < 5; ++b) {
    in.push_back(Upload(std::vector<float>(n, static_cast<float>((rank() + 1) * (b + 1)))));
    out.push_back(Make(DType::kF32, part));
    small.push_back(Upload(std::vector<float>(100, 1.0f)));
    comm.Wait(Event::Record(stream()));
    world().ReduceScatter(comm, out[b], in[b]);
    ready.push_back(Event::Record(comm));
    world().AllReduce(stream(), small[b]);
  }
  const auto total = static_cast<float>(size() * (size() + 1) / 2);
  for (int b = 4; b >= 0; --b) {
    stream().Wait(ready[b]);
    EXPECT_EQ(Download<float>(out[b]), std::vector<float>(part, total * (b + 1)));
    EXPECT_EQ(Download<float>(small[b]), std::vector<float>(100, static_cast<float>(size())));
  }
}

TEST_P(OverTransport, BytesSent) {
  const int64_t P = size(), n = P * 5000;
  world().ResetStats();
  const Owned x = Upload(Values<float>(rank(), n)), part = Make(DType::kF32, n / P);
  world().AllReduce(stream(), x);
  world().ReduceScatter(stream(), part, x);
  world().AllGather(stream(), x, part);
  const auto sent = [&](CollectiveKind kind) {
    return world().stats()[static_cast<int>(kind)].bytes_sent;
  };
  EXPECT_EQ(sent(CollectiveKind::kAllReduce), 2 * (P - 1) * n * 4 / P);
  EXPECT_EQ(sent(CollectiveKind::kReduceScatter), (P - 1) * n * 4 / P);
  EXPECT_EQ(sent(CollectiveKind::kAllGather), (P - 1) * n * 4 / P);
  stream().Synchronize();
}

// What a call costs the host, its device apart: NCCL starts and joins a thread for each where
// several ranks do not block, and none where one rank is alone.
TEST_P(OverTransport, HostTimeOfACall) {
  if (!nccl()) GTEST_SKIP() << "the host takes part in the others";
  constexpr int kRounds = 20, kCalls = 50;
  const Owned x = Upload(std::vector<float>(1, 0.0f));
  std::chrono::duration<double, std::micro> spent{0};
  for (int round = 0; round <= kRounds; ++round) {
    stream().Synchronize();
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < kCalls; ++i) world().AllReduce(stream(), x);
    if (round > 0) spent += std::chrono::steady_clock::now() - start;
  }
  EXPECT_EQ(Download<float>(x), std::vector<float>(1, 0.0f));
  const double mean = spent.count() / (kRounds * kCalls);
  EXPECT_GT(mean, 0.0);
  if (rank() != 0) return;
  std::printf("all_reduce of 4 bytes over NCCL, %d rank(s), mean of %d calls until enqueued:\n",
              size(), kRounds * kCalls);
  std::printf("nccl_host_us %.2f us\n", mean);
}

}  // namespace
}  // namespace tl
