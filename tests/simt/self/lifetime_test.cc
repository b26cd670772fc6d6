// SPDX-License-Identifier: Apache-2.0
// How long streams, events and memory must live: what is used after its end, or ends before its
// use.
#include <sys/mman.h>

#include "tests/simt/self/kernels.h"
#include "tests/simt/self/on_device.h"
#include "tests/simt/self/rules.h"

namespace tl {
namespace {

const TwoDevices kTwoDevices;
constexpr size_t kBytes = 400;

void* Pinned() {
  void* data = nullptr;
  EXPECT_EQ(cudaMallocHost(&data, kBytes), cudaSuccess);
  return data;
}

cudaError_t Copy(void* to, const void* from, cudaStream_t stream) {
  return cudaMemcpyAsync(to, from, kBytes, cudaMemcpyDefault, stream);
}

cudaEvent_t NewEvent() {
  cudaEvent_t event = nullptr;
  EXPECT_EQ(cudaEventCreate(&event), cudaSuccess);
  return event;
}

// A stream of device 0 by the runtime's calls, and memory of it.
class Lifetimes : public ::testing::Test {
 protected:
  Lifetimes() : stream_(StreamOf(0)) { EXPECT_EQ(cudaMalloc(&data_, kBytes), cudaSuccess); }
  ~Lifetimes() override { cudaFree(data_); }

  cudaStream_t stream_;
  void* data_ = nullptr;
};

TEST_F(Lifetimes, OfAStream) {
  Accepts([&] { return cudaStreamDestroy(stream_); });
  const auto refuses = [&](const std::string& call, cudaError_t (*f)(void*, cudaStream_t)) {
    Refuses(cudaErrorInvalidResourceHandle, {call + " on a stream of device 0 that was destroyed"},
            [&] { return f(data_, stream_); });
  };
  refuses("a copy", [](void* x, cudaStream_t s) { return Copy(x, x, s); });
  refuses("a memset", [](void* x, cudaStream_t s) { return cudaMemsetAsync(x, 0, kBytes, s); });
  refuses("cudaEventRecord", [](void*, cudaStream_t s) { return cudaEventRecord(NewEvent(), s); });
  refuses("cudaStreamSynchronize", [](void*, cudaStream_t s) { return cudaStreamSynchronize(s); });
  refuses("cudaStreamDestroy", [](void*, cudaStream_t s) { return cudaStreamDestroy(s); });
  refuses("launch of tl::cuda::(anonymous namespace)::AddOneKernel(float*, int)",
          [](void* x, cudaStream_t s) {
            int n = 1;
            void* arguments[] = {&x, &n};
            return cudaLaunchKernel(cuda::AddOneKernelOf(), 1, 32, arguments, 0, s);
          });
}

TEST_F(Lifetimes, QueuedWorkOutlivesItsStream) {
  void* const from = Pinned();
  static_cast<float*>(from)[99] = 7;
  Accepts([&] { return Copy(data_, from, stream_); });
  Accepts([&] { return cudaStreamDestroy(stream_); });
  EXPECT_NE(static_cast<float*>(data_)[99], 7);
  Accepts([] { return cudaDeviceSynchronize(); });
  EXPECT_EQ(static_cast<float*>(data_)[99], 7);
  cudaFreeHost(from);
}

TEST_F(Lifetimes, OfAnEvent) {
  const cudaEvent_t event = NewEvent();
  Accepts([&] { return cudaEventRecord(event, stream_); });
  Accepts([&] { return cudaEventDestroy(event); });
  const auto refuses = [&](cudaError_t (*f)(cudaEvent_t, cudaStream_t)) {
    Refuses(cudaErrorInvalidResourceHandle, {"destroyed"}, [&] { return f(event, stream_); });
  };
  refuses([](cudaEvent_t e, cudaStream_t s) { return cudaEventRecord(e, s); });
  refuses([](cudaEvent_t e, cudaStream_t s) { return cudaStreamWaitEvent(s, e, 0); });
  refuses([](cudaEvent_t e, cudaStream_t) { return cudaEventQuery(e); });
  refuses([](cudaEvent_t e, cudaStream_t) { return cudaEventSynchronize(e); });
  refuses([](cudaEvent_t e, cudaStream_t) { return cudaEventDestroy(e); });
  Accepts([&] { return cudaStreamSynchronize(stream_); });
}

// The project's own rule (device/device.h): CUDA would let the event complete.
TEST_F(Lifetimes, AnEventEndsWithItsStream) {
  const cudaStream_t other = StreamOf(0);
  const cudaEvent_t event = NewEvent();
  Accepts([&] { return cudaEventRecord(event, stream_); });
  Accepts([&] { return cudaStreamDestroy(stream_); });
  const std::string text =
      " of an event whose stream of device 0 was destroyed before it came to it";
  Refuses(cudaErrorInvalidResourceHandle, {"cudaStreamWaitEvent" + text},
          [&] { return cudaStreamWaitEvent(other, event, 0); });
  Refuses(cudaErrorInvalidResourceHandle, {"cudaEventQuery" + text},
          [&] { return cudaEventQuery(event); });
  Accepts([] { return cudaDeviceSynchronize(); });
  Accepts([&] { return cudaStreamWaitEvent(other, event, 0); });
}

TEST_F(Lifetimes, OfPinnedMemory) {
  const std::string copy = "cudaFreeHost of 400 bytes that a copy of 400 bytes on a stream of ";
  for (const bool reads : {true, false}) {
    void* const pinned = Pinned();
    Accepts([&] { return reads ? Copy(data_, pinned, stream_) : Copy(pinned, data_, stream_); });
    ReportsOnce({copy + "device 0 has yet to " + (reads ? "read" : "write")},
                [&] { cudaFreeHost(pinned); });
    void* const kept = Pinned();
    Accepts([&] { return reads ? Copy(data_, kept, stream_) : Copy(kept, data_, stream_); });
    Accepts([&] { return cudaStreamSynchronize(stream_); });
    Accepts([&] { return cudaFreeHost(kept); });
  }
}

TEST_F(Lifetimes, OfPageableMemory) {
  simt::SetOrder(simt::Order::kAscending);
  const std::string end = " was changed or freed before the stream came to it";
  const std::string copy = "pageable memory that a copy of 400 bytes on a stream of device 0 ";
  std::vector<char> values(kBytes, 1);
  ReportsOnce({copy + "reads" + end}, [&] {
    Copy(data_, values.data(), stream_);
    values[399] = 2;
    cudaStreamSynchronize(stream_);
  });
  ReportsOnce({copy + "writes" + end}, [&] {
    void* const page =
        mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    Copy(page, data_, stream_);
    munmap(page, 4096);
    cudaStreamSynchronize(stream_);
  });
}

// Either is right of CUDA: nothing stands in the destination before the call returns, or all.
TEST_F(Lifetimes, PageableCopiesWaitOrNot) {
  std::vector<float> values(100, 5);
  Copy(data_, values.data(), stream_);
  cudaStreamSynchronize(stream_);
  int early = 0;
  InEveryOrder([&] {
    std::vector<float> back(100);
    Copy(back.data(), data_, stream_);
    early += back[99] == 5;
    cudaStreamSynchronize(stream_);
    EXPECT_EQ(back[99], 5);
  });
  EXPECT_GT(early, 0);
  EXPECT_LT(early, 10);
}

TEST_F(Lifetimes, FreeingWaitsForItsDeviceAlone) {
  void *freed = nullptr, *far = nullptr;
  ASSERT_EQ(cudaMalloc(&freed, kBytes), cudaSuccess);
  Accepts([&] { return cudaMemsetAsync(freed, 0, kBytes, stream_); });
  Accepts([&] { return Copy(data_, freed, stream_); });
  Accepts([&] { return cudaFree(freed); });
  EXPECT_EQ(static_cast<float*>(data_)[0], 0);
  const cudaStream_t second = StreamOf(1);
  ASSERT_EQ(cudaMalloc(&far, kBytes), cudaSuccess);
  ASSERT_EQ(cudaSetDevice(0), cudaSuccess);
  ASSERT_EQ(cudaMalloc(&freed, kBytes), cudaSuccess);
  Accepts([&] { return Copy(far, freed, second); });
  ReportsOnce({"cudaFree of 400 bytes that a copy of 400 bytes on a stream of device 1 has yet"},
              [&] { cudaFree(freed); });
  Refuses(cudaErrorInvalidValue, {"cudaFree of what was not allocated, or was freed already"},
          [&] { return cudaFree(freed); });
  cudaFree(far);
}

TEST(Events, AreUsedAgain) {
  Stream stream = Stream::On(kMachine);
  const int64_t before = simt::CallsSoFar().events;
  for (int i = 0; i < 100; ++i) stream.Wait(Event::Record(stream));
  EXPECT_LE(simt::CallsSoFar().events - before, 1);
}

TEST(Events, AnOpenOneLeavesNoError) {
  Stream stream = Stream::On(kMachine), other = Stream::On(kMachine);
  OnDevice<float> x(stream, 4);
  for (int i = 0; i < 2; ++i) cuda::AddOne(stream, x.data(), 4);
  const Event event = Event::Record(stream);
  EXPECT_FALSE(event.Query());
  EXPECT_EQ(cudaPeekAtLastError(), cudaSuccess);
}

}  // namespace
}  // namespace tl
