// SPDX-License-Identifier: Apache-2.0
// NCCL's rules on its stand-in, and what the product makes of them: one thread at a time in a
// communicator, calls that are in progress until somebody asks, and operations of a communicator
// one after the other on whatever stream.
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "comm/nccl.h"
#include "comm/nccl_api.h"
#include "comm/nccl_watchdog.h"
#include "device/cuda.h"
#include "device/cuda_device.h"
#include "mpi_main.h"
#include "tests/simt/control.h"
#include "tests/simt/runtime.h"

namespace tl {
namespace {

using nccl::Result;
using test::World;

const nccl::Library& Library() { return nccl::GetLibrary(); }

// A communicator of all ranks, as the library gives it.
class NcclRules : public testing::Test {
 protected:
  void SetUp() override {
    cuda::MakeCurrent(device_.index);
    nccl::UniqueId id{};
    if (World().rank() == 0) Library().GetUniqueId(&id);
    Stream cpu = Stream::Cpu();
    World().Broadcast(cpu, Tensor::Of(reinterpret_cast<uint8_t*>(&id), {sizeof(id)}), 0);
    nccl::Config config;
    started_ = Library().CommInitRankConfig(&comm_, World().size(), id, World().rank(), &config);
    x_ = Buffer::Allocate(device_, sizeof(float));
    ZeroBytes(stream_, x_.data(), x_.size());
    stream_.Synchronize();
  }
  void TearDown() override {
    Settle();
    stream_.Synchronize();
    Library().CommFinalize(comm_);
    Settle();
    Library().CommDestroy(comm_);
  }

  Result Sum() {
    return Library().AllReduce(x_.data(), x_.data(), 1, nccl::kFloat32, nccl::kSum, comm_,
                               cuda::Handle(stream_));
  }
  Result Ask() const {
    Result result = nccl::kSuccess;
    EXPECT_EQ(Library().CommGetAsyncError(comm_, &result), nccl::kSuccess);
    return result;
  }
  void Settle() const {
    while (Ask() == nccl::kInProgress) {
    }
  }
  bool NothingEnqueued() { return simt::IsIdle(cuda::Handle(stream_)); }

  const Device device_ = {DeviceType::kCuda, World().rank()};
  Stream stream_ = Stream::On(device_);
  nccl::Comm comm_ = nullptr;
  Result started_ = nccl::kSuccess;
  Buffer x_;
};

TEST_F(NcclRules, ACallIsInProgressUntilItIsAskedFor) {
  EXPECT_EQ(started_, nccl::kInProgress);
  Settle();
  EXPECT_EQ(Sum(), nccl::kInProgress);
  EXPECT_TRUE(NothingEnqueued());  // an event recorded now would not wait for it
  EXPECT_EQ(Ask(), nccl::kInProgress);
  Settle();
  EXPECT_FALSE(NothingEnqueued());
  EXPECT_EQ(Library().GroupStart(), nccl::kSuccess);
  for (int peer = 0; peer < World().size(); ++peer) {
    EXPECT_EQ(Library().Send(x_.data(), 1, nccl::kFloat32, peer, comm_, cuda::Handle(stream_)),
              nccl::kSuccess);
    EXPECT_EQ(Library().Recv(x_.data(), 1, nccl::kFloat32, peer, comm_, cuda::Handle(stream_)),
              nccl::kSuccess);
  }
  EXPECT_EQ(Library().GroupEnd(), nccl::kInProgress);
}

TEST_F(NcclRules, UsingOneThatIsInProgressIsReported) {
  const char* const text = "has another call in progress";
  {
    simt::CollectReports collected;
    EXPECT_EQ(Sum(), nccl::kInvalidArgument);  // it is still starting
    EXPECT_TRUE(collected.Has(text));
  }
  Settle();
  ASSERT_EQ(Sum(), nccl::kInProgress);
  {
    simt::CollectReports collected;
    EXPECT_EQ(Sum(), nccl::kInvalidArgument);
    EXPECT_EQ(Library().CommFinalize(comm_), nccl::kInvalidArgument);
    EXPECT_EQ(Library().CommDestroy(comm_), nccl::kInvalidArgument);
    EXPECT_EQ(collected.reports().size(), 3u);
    EXPECT_TRUE(collected.Has(text));
  }
}

TEST_F(NcclRules, TwoThreadsInCallsOfOneCommunicatorAreReported) {
  Settle();
  simt::CollectReports collected;
  constexpr auto kText = "while another thread is in a call";
  // Until they meet, which on one core is a matter of when they take turns.
  for (int round = 0; round < 100 && !collected.Has(kText); ++round) {
    std::atomic<bool> ends = false;
    std::thread other([&] {
      while (!ends) Ask();
    });
    const auto start = std::chrono::steady_clock::now();
    while (std::chrono::steady_clock::now() - start < std::chrono::milliseconds(50)) Ask();
    ends = true;
    other.join();
  }
  EXPECT_TRUE(collected.Has(kText));
}

// A watchdog that asks every communicator for errors, whatever its thread is about.
TEST_F(NcclRules, AskingForErrorsWhileAnotherThreadCallsIsReported) {
  Settle();
  ASSERT_EQ(Sum(), nccl::kInProgress);
  simt::CollectReports collected;
  std::thread([this] { Ask(); }).join();
  EXPECT_TRUE(collected.Has("while another thread has a call of the communicator in progress"));
}

TEST_F(NcclRules, TheWatchdogLeavesACommunicatorAloneThatIsCalled) {
  const auto several_looks = std::chrono::milliseconds(350);
  simt::CollectReports collected;
  {
    NcclWatchdog watchdog(device_, 60);
    const auto watched = watchdog.Watch(comm_, "world group");
    std::this_thread::sleep_for(several_looks);
    Settle();
    watchdog.End(*watched);
    watchdog.Begin(*watched, "all_reduce");
    ASSERT_EQ(Sum(), nccl::kInProgress);
    std::this_thread::sleep_for(several_looks);
    Settle();
    watchdog.Enqueued(*watched, Event::Record(stream_));
    std::this_thread::sleep_for(several_looks);
    stream_.Synchronize();
    watchdog.Forget(watched);
  }
  EXPECT_TRUE(collected.reports().empty()) << collected.reports()[0];
}

// The end of a step: weights are gathered on a stream of their own, losses are summed on that of
// the step, of the same communicator.
class StepEnd : public testing::Test {
 protected:
  void SetUp() override {
    auto world = MakeNcclWorld(World(), {.device = device_});
    TL_CHECK_OK(world.status());
    world_ = std::move(world).value();
  }

  // The host waits for the step's stream. Counts, over all orders in which the streams' work may
  // run, how often a gather was still to run then.
  int GathersPending(bool sums_first) {
    int pending = 0;
    const auto count = [&] {
      Stream stream = Stream::On(device_), comm = Stream::On(device_, Stream::Mode::kAsync);
      const int64_t n = 1000;
      const Buffer memory = Buffer::Allocate(device_, (World().size() * n + 1) * sizeof(float));
      ZeroBytes(stream, memory.data(), memory.size());
      const int own = World().rank();
      const std::vector<float> ones(n, 1.0f);
      CopyBytes(stream, memory.data() + own * n * sizeof(float),
                reinterpret_cast<const std::byte*>(ones.data()), n * sizeof(float));
      const Tensor all =
          Tensor::Contiguous(memory.data(), {World().size() * n}, DType::kF32, device_);
      const Tensor sum = Tensor::Contiguous(memory.data() + all.bytes(), {1}, DType::kF32, device_);
      if (sums_first) world_->AllReduce(stream, sum);
      comm.Wait(Event::Record(stream));
      world_->AllGather(comm, all, all.Slice(0, own * n, (own + 1) * n));
      if (!sums_first) world_->AllReduce(stream, sum);
      stream.Synchronize();
      // The machine's device memory is the host's.
      pending += all.as<float>()[(own + 1) % World().size() * n] != 1.0f;
      comm.Synchronize();
    };
    simt::SetOrder(simt::Order::kAscending);
    for (int i = 0; i < kAscending; ++i) count();
    for (uint64_t seed = 1; seed <= kRandom; ++seed) {
      simt::SetOrder(simt::Order::kRandom, seed);
      count();
    }
    simt::SetOrder(simt::Order::kAscending);
    return pending;
  }

  static constexpr int kAscending = 5, kRandom = 20;
  const Device device_ = {DeviceType::kCuda, World().rank()};
  std::unique_ptr<Communicator> world_;
};

// Not even where chance lets the sum's stream go first.
TEST_F(StepEnd, WaitsForGathersThatWereCalledBeforeTheSums) {
  EXPECT_EQ(GathersPending(/*sums_first=*/false), 0);
}
TEST_F(StepEnd, DoesNotWaitForGathersThatWereCalledAfterTheSums) {
  EXPECT_GE(GathersPending(/*sums_first=*/true), kAscending);
}

}  // namespace
}  // namespace tl
