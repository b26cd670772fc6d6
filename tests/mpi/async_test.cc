// SPDX-License-Identifier: Apache-2.0
#include <vector>

#include "mpi_main.h"

namespace tl {
namespace {

using test::World;

float SumOfRanks() {
  const int size = World().size();
  return static_cast<float>(size * (size + 1) / 2);
}

TEST(Async, StaysInFlightUntilPolled) {
  Stream compute = Stream::Cpu();
  Stream comm = Stream::Cpu(Stream::Mode::kAsync);
  const int64_t n = 2'000'003;
  std::vector<float> x(n, static_cast<float>(World().rank() + 1));
  World().AllReduce(comm, Tensor::Of(x.data(), {n}));
  const Event done = Event::Record(comm);
  int64_t polls = 0;
  while (!done.Query()) ++polls;
  EXPECT_GT(polls, 0);
  compute.Wait(done);
  for (const float v : x) ASSERT_EQ(v, SumOfRanks());
}

TEST(Async, OverlapsWithCollectivesOfTheComputeStream) {
  Stream compute = Stream::Cpu();
  Stream comm = Stream::Cpu(Stream::Mode::kAsync);
  const int64_t n = 1'000'000;
  const int buckets = 5;
  const int size = World().size(), rank = World().rank();
  std::vector<std::vector<float>> in(buckets), out(buckets, std::vector<float>(n / size));
  std::vector<Event> ready;
  for (int b = 0; b < buckets; ++b) {
    in[b].assign(n, static_cast<float>((rank + 1) * (b + 1)));
    World().ReduceScatter(comm, Tensor::Of(out[b].data(), {n / size}),
                          Tensor::Of(in[b].data(), {n}));
    ready.push_back(Event::Record(comm));
    for (int i = 0; i < 10; ++i) {
      std::vector<float> small(100, 1.0f), large(100'000, 1.0f);
      World().AllReduce(compute, Tensor::Of(small.data(), {100}));
      comm.Poll();
      World().AllReduce(compute, Tensor::Of(large.data(), {100'000}));
      ASSERT_EQ(small[99], static_cast<float>(size));
      ASSERT_EQ(large[99'999], static_cast<float>(size));
    }
  }
  for (int b = 0; b < buckets; ++b) {
    compute.Wait(ready[b]);
    for (const float v : out[b]) ASSERT_EQ(v, SumOfRanks() * static_cast<float>(b + 1));
  }
}

TEST(Async, OperationsOfOneStreamRunInOrder) {
  Stream comm = Stream::Cpu(Stream::Mode::kAsync);
  const int size = World().size();
  const int64_t n = 40'000 * size;
  std::vector<float> x(n, 1.0f), part(n / size), whole(n);
  World().AllReduce(comm, Tensor::Of(x.data(), {n}));
  World().ReduceScatter(comm, Tensor::Of(part.data(), {n / size}), Tensor::Of(x.data(), {n}));
  World().AllGather(comm, Tensor::Of(whole.data(), {n}), Tensor::Of(part.data(), {n / size}));
  World().Broadcast(comm, Tensor::Of(whole.data(), {n}), size - 1);
  World().Barrier(comm);
  comm.Synchronize();
  for (const float v : whole) ASSERT_EQ(v, static_cast<float>(size * size));
}

TEST(Async, TwoStreamsOfOneCommunicatorDoNotMix) {
  Stream first = Stream::Cpu(Stream::Mode::kAsync);
  Stream second = Stream::Cpu(Stream::Mode::kAsync);
  const int64_t n = 300'000;
  const int rank = World().rank();
  std::vector<std::vector<float>> a(4), b(4);
  for (int i = 0; i < 4; ++i) {
    a[i].assign(n, static_cast<float>(rank + 1));
    b[i].assign(n, static_cast<float>(10 * (rank + 1)));
    World().AllReduce(first, Tensor::Of(a[i].data(), {n}));
    World().AllReduce(second, Tensor::Of(b[i].data(), {n}));
  }
  // Ranks progress the streams in different orders.
  Stream* order[2] = {&first, &second};
  if (rank % 2 == 1) std::swap(order[0], order[1]);
  const Event last[2] = {Event::Record(first), Event::Record(second)};
  while (!last[0].Query() || !last[1].Query()) {
    order[0]->Poll();
    order[0]->Poll();
    order[1]->Poll();
  }
  for (int i = 0; i < 4; ++i) {
    for (const float v : a[i]) ASSERT_EQ(v, SumOfRanks());
    for (const float v : b[i]) ASSERT_EQ(v, SumOfRanks() * 10);
  }
}

TEST(Async, GroupsInFlightTogether) {
  Stream comm = Stream::Cpu(Stream::Mode::kAsync);
  Stream compute = Stream::Cpu();
  const int rank = World().rank();
  const auto odd_even = World().Split(rank % 2, rank);
  const int64_t n = 500'000;
  std::vector<float> group(n, 1.0f), world(n, 1.0f);
  odd_even->AllReduce(comm, Tensor::Of(group.data(), {n}));
  World().AllReduce(compute, Tensor::Of(world.data(), {n}));
  comm.Synchronize();
  for (int64_t i = 0; i < n; ++i) {
    ASSERT_EQ(group[i], static_cast<float>(odd_even->size()));
    ASSERT_EQ(world[i], static_cast<float>(World().size()));
  }
}

TEST(Async, WorkspacesAreReused) {
  Stream comm = Stream::Cpu(Stream::Mode::kAsync);
  const int64_t n = 4'000'000;
  std::vector<float> x(n);
  int64_t bytes = 0;
  for (int i = 0; i < 4; ++i) {
    World().AllReduce(comm, Tensor::Of(x.data(), {n}));
    World().AllReduce(comm, Tensor::Of(x.data(), {n}));
    comm.Synchronize();
    if (i == 0) bytes = World().workspace_bytes();
    EXPECT_EQ(World().workspace_bytes(), bytes);
  }
  EXPECT_GT(bytes, 0);
  EXPECT_LT(bytes, n * 4 / 2);
}

}  // namespace
}  // namespace tl
