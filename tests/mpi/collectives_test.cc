// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <limits>
#include <thread>
#include <vector>

#include "mpi_main.h"

namespace tl {
namespace {

using test::World;

// Values that depend on rank and index and whose sums round differently in another order.
template <typename T>
T Value(int rank, int64_t i) {
  const uint32_t h = (static_cast<uint32_t>(i) * 2654435761u) ^ (rank * 0x9E3779B9u);
  if constexpr (std::is_integral_v<T>) {
    return static_cast<T>(h >> 8);
  } else {
    const float exponent = std::ldexp(1.0f, static_cast<int>(h % 13) - 6);
    return FromFloat<T>((static_cast<float>(h >> 8) / 8388608.0f - 1.0f) * exponent);
  }
}

template <typename T>
std::vector<T> Values(int rank, int64_t n) {
  std::vector<T> v(n);
  for (int64_t i = 0; i < n; ++i) v[i] = Value<T>(rank, i);
  return v;
}

// The sum over the ranks of a group, in rank order.
template <typename T>
T SerialSum(int size, int64_t i) {
  if constexpr (std::is_integral_v<T>) {
    T sum = 0;
    for (int r = 0; r < size; ++r) sum += Value<T>(r, i);
    return sum;
  } else {
    float sum = ToFloat(Value<T>(0, i));
    for (int r = 1; r < size; ++r) sum += ToFloat(Value<T>(r, i));
    return FromFloat<T>(sum);
  }
}

template <typename T>
void ExpectSameBits(const std::vector<T>& got, const std::vector<T>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) {
    if (std::memcmp(&got[i], &want[i], sizeof(T)) != 0) {
      ADD_FAILURE() << "element " << i << " of " << got.size();
      return;
    }
  }
}

template <typename T>
class SumTest : public testing::Test {};
using SumTypes = testing::Types<float, BF16, F16, int32_t, int64_t>;
TYPED_TEST_SUITE(SumTest, SumTypes);

// Around the change of algorithm and of the number of segments, and above 4 MB.
const int64_t kSizes[] = {0, 1, 3, 1023, 2048, 2049, 4097, 32769, 65537, 1'300'001};

TYPED_TEST(SumTest, AllReduceEqualsSerialSum) {
  Stream stream = Stream::Cpu();
  for (const int64_t n : kSizes) {
    SCOPED_TRACE(n);
    auto x = Values<TypeParam>(World().rank(), n);
    World().AllReduce(stream, Tensor::Of(x.data(), {n}));
    std::vector<TypeParam> want(n);
    for (int64_t i = 0; i < n; ++i) want[i] = SerialSum<TypeParam>(World().size(), i);
    ExpectSameBits(x, want);
  }
}

TYPED_TEST(SumTest, ReduceScatterEqualsSerialSum) {
  Stream stream = Stream::Cpu();
  const int size = World().size(), rank = World().rank();
  for (const int64_t part : {0, 1, 5, 1023, 32768, 32769, 700'001}) {
    SCOPED_TRACE(part);
    const auto original = Values<TypeParam>(rank, part * size);
    std::vector<TypeParam> want(part);
    for (int64_t i = 0; i < part; ++i) want[i] = SerialSum<TypeParam>(size, rank * part + i);

    auto in = original;
    std::vector<TypeParam> out(part);
    World().ReduceScatter(stream, Tensor::Of(out.data(), {part}),
                          Tensor::Of(in.data(), {part * size}));
    ExpectSameBits(out, want);
    ExpectSameBits(in, original);

    TypeParam* own = in.data() + rank * part;
    World().ReduceScatter(stream, Tensor::Of(own, {part}), Tensor::Of(in.data(), {part * size}));
    ExpectSameBits(std::vector<TypeParam>(own, own + part), want);
  }
}

TEST(Collectives, MaxOfFloatsKeepsNaN) {
  Stream stream = Stream::Cpu();
  const int size = World().size(), rank = World().rank();
  for (const int64_t n : {4, 40'000}) {
    std::vector<float> x(n);
    for (int64_t i = 0; i < n; ++i) x[i] = static_cast<float>((rank + i) % size) - 10.0f;
    x[1] = rank == 0 ? std::numeric_limits<float>::quiet_NaN() : 1.0f;
    x[2] = rank == size - 1 ? std::numeric_limits<float>::quiet_NaN() : 1.0f;
    x[3] = -std::numeric_limits<float>::infinity();
    World().AllReduce(stream, Tensor::Of(x.data(), {n}), ReduceOp::kMax);
    EXPECT_TRUE(std::isnan(x[1]));
    EXPECT_TRUE(std::isnan(x[2]));
    EXPECT_EQ(x[3], -std::numeric_limits<float>::infinity());
    for (int64_t i = 4; i < n; ++i) ASSERT_EQ(x[i], static_cast<float>(size - 1) - 10.0f);
  }
}

TEST(Collectives, MaxOfInts) {
  Stream stream = Stream::Cpu();
  std::vector<int32_t> x = {World().rank(), -World().rank(), 7};
  World().AllReduce(stream, Tensor::Of(x.data(), {3}), ReduceOp::kMax);
  EXPECT_EQ(x, (std::vector<int32_t>{World().size() - 1, 0, 7}));
}

TYPED_TEST(SumTest, AllGather) {
  Stream stream = Stream::Cpu();
  const int size = World().size(), rank = World().rank();
  for (const int64_t n : {int64_t{0}, int64_t{1}, int64_t{1023}, int64_t{9'000'001}}) {
    if (n > 1'000'000 && !std::is_same_v<TypeParam, F16>) continue;  // above one message, once
    SCOPED_TRACE(n);
    std::vector<TypeParam> want;
    for (int r = 0; r < size; ++r) {
      const auto part = Values<TypeParam>(r, n);
      want.insert(want.end(), part.begin(), part.end());
    }
    auto in = Values<TypeParam>(rank, n);
    std::vector<TypeParam> out(n * size);
    World().AllGather(stream, Tensor::Of(out.data(), {n * size}), Tensor::Of(in.data(), {n}));
    ExpectSameBits(out, want);

    std::vector<TypeParam> in_place(n * size);
    std::copy(in.begin(), in.end(), in_place.begin() + rank * n);
    World().AllGather(stream, Tensor::Of(in_place.data(), {n * size}),
                      Tensor::Of(in_place.data() + rank * n, {n}));
    ExpectSameBits(in_place, want);
  }
}

TEST(Collectives, BroadcastFromEveryRoot) {
  Stream stream = Stream::Cpu();
  for (int root = 0; root < World().size(); ++root) {
    for (const int64_t n : {0, 1, 1023, 8192, 8193, 5'000'003}) {
      SCOPED_TRACE(n);
      std::vector<uint8_t> want(n);
      for (int64_t i = 0; i < n; ++i) want[i] = static_cast<uint8_t>(i * 31 + root);
      std::vector<uint8_t> x = World().rank() == root ? want : std::vector<uint8_t>(n);
      World().Broadcast(stream, Tensor::Of(x.data(), {n}), root);
      EXPECT_TRUE(x == want);
    }
  }
}

TEST(Collectives, ExchangeAllToAllWithUnequalSizes) {
  Stream stream = Stream::Cpu();
  const int size = World().size(), rank = World().rank();
  // Rank a sends a * 1000 + b doubles to rank b, itself included.
  const auto count = [](int from, int to) { return int64_t{from} * 1000 + to; };
  std::vector<std::vector<double>> sends(size), receives(size);
  std::vector<Communicator::Transfer> transfers;
  for (int peer = 0; peer < size; ++peer) {
    sends[peer].assign(count(rank, peer), rank * 100 + peer);
    receives[peer].assign(count(peer, rank), -1);
    transfers.push_back({.peer = peer,
                         .send = Tensor::Of(sends[peer].data(), {count(rank, peer)}),
                         .recv = Tensor::Of(receives[peer].data(), {count(peer, rank)})});
  }
  World().Exchange(stream, transfers);
  for (int peer = 0; peer < size; ++peer)
    EXPECT_EQ(receives[peer], std::vector<double>(count(peer, rank), peer * 100 + rank));
}

TEST(Collectives, ExchangeRingKeepsTheOrderOfMessages) {
  Stream stream = Stream::Cpu();
  const int size = World().size(), rank = World().rank();
  const int next = (rank + 1) % size, previous = (rank - 1 + size) % size;
  int32_t send[2] = {rank, rank + 100}, recv[2] = {-1, -1};
  const std::vector<Communicator::Transfer> transfers = {
      {.peer = next, .send = Tensor::Of(&send[0], {1}), .recv = {}},
      {.peer = next, .send = Tensor::Of(&send[1], {1}), .recv = {}},
      {.peer = previous, .send = {}, .recv = Tensor::Of(&recv[0], {1})},
      {.peer = previous, .send = {}, .recv = Tensor::Of(&recv[1], {1})}};
  World().Exchange(stream, transfers);
  EXPECT_EQ(recv[0], previous);
  EXPECT_EQ(recv[1], previous + 100);
}

TEST(Collectives, SplitOrdersByKey) {
  Stream stream = Stream::Cpu();
  const int size = World().size(), rank = World().rank();
  const auto reversed = World().Split(0, size - rank);
  EXPECT_EQ(reversed->rank(), size - 1 - rank);
  std::vector<int32_t> ranks(size);
  int32_t mine = rank;
  reversed->AllGather(stream, Tensor::Of(ranks.data(), {size}), Tensor::Of(&mine, {1}));
  for (int r = 0; r < size; ++r) EXPECT_EQ(ranks[r], size - 1 - r);

  const auto halves = World().Split(rank % 2, rank);
  EXPECT_EQ(halves->size(), size / 2);
  int32_t sum = rank;
  halves->AllReduce(stream, Tensor::Of(&sum, {1}));
  EXPECT_EQ(sum, size == 2 ? rank : 2 + 2 * (rank % 2));

  const auto alone = World().Split(rank, 0);
  EXPECT_EQ(alone->size(), 1);
}

TEST(Collectives, BytesSentFollowTheFormulas) {
  Stream stream = Stream::Cpu();
  const int64_t size = World().size(), rank = World().rank();
  const auto sent = [](CollectiveKind kind) {
    return World().stats()[static_cast<int>(kind)].bytes_sent;
  };
  World().ResetStats();
  const int64_t n = size * 50'000;
  std::vector<float> x(n), part(n / size);
  World().AllReduce(stream, Tensor::Of(x.data(), {n}));
  EXPECT_EQ(sent(CollectiveKind::kAllReduce), 2 * (size - 1) * n * 4 / size);
  World().AllReduce(stream, Tensor::Of(x.data(), {10}));
  EXPECT_EQ(sent(CollectiveKind::kAllReduce), 2 * (size - 1) * n * 4 / size + (size - 1) * 40);
  World().ReduceScatter(stream, Tensor::Of(part.data(), {n / size}), Tensor::Of(x.data(), {n}));
  EXPECT_EQ(sent(CollectiveKind::kReduceScatter), (size - 1) * n * 4 / size);
  World().AllGather(stream, Tensor::Of(x.data(), {n}), Tensor::Of(part.data(), {n / size}));
  EXPECT_EQ(sent(CollectiveKind::kAllGather), (size - 1) * n * 4 / size);
  World().Broadcast(stream, Tensor::Of(x.data(), {n}), 0);
  const int64_t own = n * 4 / size;
  EXPECT_EQ(sent(CollectiveKind::kBroadcast),
            rank == 0 ? n * 4 - own + (size - 1) * own : (size - 2) * own);
  World().Broadcast(stream, Tensor::Of(x.data(), {3}), 0);
  EXPECT_EQ(World().stats()[static_cast<int>(CollectiveKind::kBroadcast)].calls, 2);
  World().ResetStats();
  EXPECT_EQ(sent(CollectiveKind::kAllReduce), 0);
}

TEST(Collectives, BarrierWaitsForAll) {
  Stream stream = Stream::Cpu();
  const int size = World().size(), rank = World().rank();
  const auto now = [] { return std::chrono::steady_clock::now().time_since_epoch().count(); };
  for (int late = 0; late < size; ++late) {
    if (rank == late) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    int64_t entered = now();  // One clock for all processes of a host.
    World().Barrier(stream);
    const int64_t left = now();
    std::vector<int64_t> all(size);
    World().AllGather(stream, Tensor::Of(all.data(), {size}), Tensor::Of(&entered, {1}));
    for (const int64_t other : all) EXPECT_GE(left, other);
  }
}

}  // namespace
}  // namespace tl
