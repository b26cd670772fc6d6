// SPDX-License-Identifier: Apache-2.0
// Streams run as late and as interleaved as they may: a missing event shows in some order.
#include "tests/simt/self/kernels.h"
#include "tests/simt/self/on_device.h"
#include "tests/simt/self/rules.h"

namespace tl {
namespace {

// Adds one on a first stream and copies on a second, then adds again on the first; x must have been
// copied between. Returns how often it was, of all orders.
int RightCopies(bool wait_for_first, bool wait_for_second) {
  int right = 0;
  InEveryOrder([&] {
    Stream first = Stream::On(kMachine), second = Stream::On(kMachine, Stream::Mode::kAsync);
    OnDevice<float> x(first, std::vector<float>(100, 1)), y(first, 100);
    first.Synchronize();
    cuda::AddOne(first, x.data(), 100);
    if (wait_for_first) second.Wait(Event::Record(first));
    CopyBytes(second, reinterpret_cast<std::byte*>(y.data()),
              reinterpret_cast<const std::byte*>(x.data()), 400);
    if (wait_for_second) first.Wait(Event::Record(second));
    cuda::AddOne(first, x.data(), 100);
    // Both ways round: who is waited for first runs first where nothing else orders them.
    for (Stream* stream : {&second, &first}) stream->Synchronize();
    right += y.Get(second) == std::vector<float>(100, 2);
  });
  return right;
}

TEST(Streams, EventsOrderThem) { EXPECT_EQ(RightCopies(true, true), 10); }
TEST(Streams, AMissingWaitForAProducerShows) { EXPECT_LT(RightCopies(false, true), 10); }
TEST(Streams, AMissingWaitForAConsumerShows) { EXPECT_LT(RightCopies(true, false), 10); }

TEST(Streams, NothingRunsBeforeSomebodyWaits) {
  Stream stream = Stream::On(kMachine);
  OnDevice<float> x(stream, std::vector<float>(4, 1));
  stream.Synchronize();
  cuda::AddOne(stream, x.data(), 4);
  Event event = Event::Record(stream);
  EXPECT_EQ(x.data()[0], 1);  // the machine lets a test look
  stream.Synchronize();
  EXPECT_TRUE(event.Query());
  EXPECT_EQ(x.data()[0], 2);
}

TEST(Streams, PollingAnEventEndsInItsCompletion) {
  InEveryOrder([] {
    Stream stream = Stream::On(kMachine);
    OnDevice<float> x(stream, std::vector<float>(4, 1));
    cuda::AddOne(stream, x.data(), 4);
    Event event = Event::Record(stream);
    int polls = 0;
    while (!event.Query() && polls < 100) ++polls;
    EXPECT_LT(polls, 100);
  });
}

TEST(Streams, FindACopyOutOfBounds) {
  Stream stream = Stream::On(kMachine);
  OnDevice<float> x(stream, 4), y(stream, 100);
  const auto copy = [&](size_t bytes) {
    return cudaMemcpyAsync(y.data(), x.data(), bytes, cudaMemcpyDefault, cuda::Handle(stream));
  };
  Accepts([&] { return copy(16); });
  Refuses(cudaErrorInvalidValue,
          {"a copy reads: out of bounds, bytes 0 to 20 of an allocation of 16"},
          [&] { return copy(20); });
  Refuses(cudaErrorInvalidValue,
          {"a memset writes: out of bounds, bytes 0 to 20 of an allocation of 16"},
          [&] { return cudaMemsetAsync(x.data(), 0, 20, cuda::Handle(stream)); });
}

TEST(Record, WritesDownAndRunsNothing) {
  Stream stream = Stream::On(kMachine);
  OnDevice<float> x(stream, std::vector<float>(300, 1));
  {
    const simt::RecordLaunches recorded;
    // 48 GiB, of which nothing is touched.
    const Buffer large = Buffer::Allocate(kMachine, size_t{48} << 30);
    cuda::AddOne(stream, x.data(), 300);
    cuda::Strided(stream, x.data(), x.data(), 1);
    ZeroBytes(stream, large.data(), large.size());
    stream.Synchronize();
    const auto launches = recorded.Of("AddOneKernel");
    ASSERT_EQ(launches.size(), 1u);
    EXPECT_EQ(launches[0].blocks, 3);
    EXPECT_EQ(launches[0].threads, 128);
    EXPECT_EQ(recorded.Of("Kernel").size(), 2u);
    EXPECT_TRUE(recorded.products().empty());
  }
  EXPECT_EQ(x.Get(stream), std::vector<float>(300, 1));
}

}  // namespace
}  // namespace tl
