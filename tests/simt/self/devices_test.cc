// SPDX-License-Identifier: Apache-2.0
// Several devices: a host thread's current one, what belongs to which, and who starts contexts.
#include <thread>

#include "tests/simt/self/kernels.h"
#include "tests/simt/self/on_device.h"
#include "tests/simt/self/rules.h"

namespace tl {
namespace {

const TwoDevices kTwoDevices;
constexpr Device kSecond = {DeviceType::kCuda, 1};

template <class F>
void InAThread(const F& f) {
  std::thread(f).join();
}

// The first test of the program: device 0 has no context yet.
TEST(Devices, AThreadThatChoosesNoneStartsDevice0) {
  Stream stream = Stream::On(kSecond);
  InAThread([] {
    simt::CollectReports collected;
    {
      const Buffer pinned = Buffer::AllocateHost(kSecond, 64);
    }
    EXPECT_EQ(collected.reports(), std::vector<std::string>{});
  });
  EXPECT_EQ(simt::DevicesWithContext(), std::vector<int>{1});
  // Pinned memory of whoever calls, whatever its current device is.
  InAThread([] {
    ReportsOnce({"cudaMallocHost in a thread that never called cudaSetDevice starts a context on "
                 "device 0 of 2"},
                [] {
                  void* data = nullptr;
                  EXPECT_EQ(cudaMallocHost(&data, 64), cudaSuccess);
                  cudaFreeHost(data);
                });
  });
  EXPECT_EQ(simt::DevicesWithContext(), (std::vector<int>{0, 1}));
}

TEST(Devices, TheCurrentOneIsAThreadsOwn) {
  ASSERT_EQ(cudaSetDevice(1), cudaSuccess);
  InAThread([] {
    int device = -1;
    EXPECT_EQ(cudaGetDevice(&device), cudaSuccess);
    EXPECT_EQ(device, 0);
  });
  EXPECT_EQ(cudaSetDevice(2), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidDevice);
}

// The calls below change the thread's device behind the product's back.
TEST(Devices, WorkGoesToStreamsOfTheCurrentOne) {
  InAThread([] {
    const cudaStream_t second = StreamOf(1), first = StreamOf(0);
    const void* const kernel = cuda::AddOneKernelOf();
    float* x = nullptr;
    int n = 0;
    void* arguments[] = {&x, &n};
    const auto launch = [&](cudaStream_t stream) {
      return cudaLaunchKernel(kernel, 1, 32, arguments, 0, stream);
    };
    Accepts([&] { return launch(first); });
    Refuses(cudaErrorInvalidResourceHandle,
            {"launch of", "AddOneKernel", "the stream is of device 1, but device 0 is current"},
            [&] { return launch(second); });
    EXPECT_EQ(cudaSetDevice(1), cudaSuccess);
    Accepts([&] { return launch(second); });
  });
}

TEST(Devices, AnEventIsRecordedOnItsOwn) {
  InAThread([] {
    const cudaStream_t second = StreamOf(1), first = StreamOf(0);
    cudaEvent_t event = nullptr;
    EXPECT_EQ(cudaEventCreate(&event), cudaSuccess);
    Refuses(cudaErrorInvalidResourceHandle,
            {"cudaEventRecord of an event of device 0 on a stream of device 1"},
            [&] { return cudaEventRecord(event, second); });
    Accepts([&] { return cudaEventRecord(event, first); });
    Accepts([&] { return cudaStreamWaitEvent(second, event, 0); });
    EXPECT_EQ(cudaEventDestroy(event), cudaSuccess);
  });
}

TEST(Devices, AKernelTouchesItsOwnMemoryAndTheHosts) {
  Stream first = Stream::On(kMachine), second = Stream::On(kSecond);
  OnDevice<float> x(first, 4);
  ReportsOnce({"touches memory of device 0 from device 1", "AddOneKernel"}, [&] {
    cuda::AddOne(second, x.data(), 4);
    second.Synchronize();
  });
  Buffer pinned = Buffer::AllocateHost(kMachine, 4 * sizeof(float));
  auto* values = reinterpret_cast<float*>(pinned.data());
  for (int i = 0; i < 4; ++i) values[i] = 1;
  for (Stream* stream : {&first, &second}) {
    cuda::AddOne(*stream, values, 4);
    stream->Synchronize();
  }
  EXPECT_EQ(values[3], 3);
}

TEST(Devices, AFillStaysOnItsOwn) {
  Stream first = Stream::On(kMachine), second = Stream::On(kSecond);
  OnDevice<float> x(first, 4);
  Refuses(cudaErrorInvalidValue, {"a memset of memory of device 0 on a stream of device 1"},
          [&] { return cudaMemsetAsync(x.data(), 0, 16, cuda::Handle(second)); });
}

TEST(Devices, MemoryIsEachOnesOwn) {
  const int64_t first = cuda::FreeMemory(0), second = cuda::FreeMemory(1);
  const Buffer x = Buffer::Allocate(kSecond, 1000);
  EXPECT_EQ(cuda::FreeMemory(0), first);
  EXPECT_EQ(cuda::FreeMemory(1), second - 1000);
}

}  // namespace
}  // namespace tl
