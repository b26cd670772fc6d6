// SPDX-License-Identifier: Apache-2.0
// The driver's rules of a launch: shared memory and its attribute, shapes, arguments, streams. What
// breaks one is refused at the call.
#include "tests/simt/self/launch_kernels.h"
#include "tests/simt/self/on_device.h"
#include "tests/simt/self/rules.h"

namespace tl {
namespace {

const TwoDevices kTwoDevices;

constexpr auto kAttribute = cudaFuncAttributeMaxDynamicSharedMemorySize;
constexpr int kStatic = 1024;
constexpr int k48KiB = 48 << 10;
constexpr int kMost = 163 << 10;

cudaError_t LaunchStatic(const void* kernel, int dynamic_bytes, cudaStream_t stream, float* y) {
  int floats = dynamic_bytes / static_cast<int>(sizeof(float));
  void* arguments[] = {&y, &floats};
  return cudaLaunchKernel(kernel, 1, cuda::kThreadsOfStatic, arguments, dynamic_bytes, stream);
}

// Asks for the attribute where dynamic memory alone passes 48 KiB.
cudaError_t AskForDynamicAlone(const void* kernel, int dynamic_bytes, cudaStream_t stream,
                               float* y) {
  if (dynamic_bytes > k48KiB) {
    const cudaError_t error = cudaFuncSetAttribute(kernel, kAttribute, dynamic_bytes);
    if (error != cudaSuccess) return error;
  }
  return LaunchStatic(kernel, dynamic_bytes, stream, y);
}

class Launches : public ::testing::Test {
 protected:
  Launches() : stream_(Stream::On(kMachine)), y_(stream_, std::vector<float>{-1}) {
    stream_.Synchronize();
    handle_ = cuda::Handle(stream_);
  }
  float Result() { return y_.Get(stream_)[0]; }

  Stream stream_;
  OnDevice<float> y_;
  cudaStream_t handle_;
};

TEST_F(Launches, StaticMemoryCountsTowards48KiB) {
  const void* const kernel = cuda::StaticKernelOf(0);
  Refuses(cudaErrorInvalidValue,
          {"launch of", "StaticKernel<0>",
           "49152 bytes of dynamic shared memory and 1024 of static are more than 49152",
           "cudaFuncAttributeMaxDynamicSharedMemorySize of device 0 is not set"},
          [&] { return AskForDynamicAlone(kernel, k48KiB, handle_, y_.data()); });
  EXPECT_EQ(Result(), -1);
  Accepts([&] { return LaunchStatic(kernel, k48KiB - kStatic, handle_, y_.data()); });
  EXPECT_EQ(Result(), 127);
}

TEST_F(Launches, LaunchAsksForWhatItNeeds) {
  cuda::SumStatic(stream_, 0, y_.data(), k48KiB);
  EXPECT_EQ(Result(), 127);
  cuda::SumStatic(stream_, 0, y_.data(), kMost - kStatic);
  EXPECT_EQ(Result(), 127);
}

TEST_F(Launches, LaunchAsksOncePerKernelAndDevice) {
  const auto asked = [&](Stream& stream, int number, float* y) {
    const int64_t before = simt::CallsSoFar().attributes;
    for (int i = 0; i < 3; ++i) cuda::SumStatic(stream, number, y, k48KiB);
    stream.Synchronize();
    return simt::CallsSoFar().attributes - before;
  };
  EXPECT_EQ(asked(stream_, 1, y_.data()), 1);
  EXPECT_EQ(asked(stream_, 1, y_.data()), 0);
  EXPECT_EQ(asked(stream_, 2, y_.data()), 1);
  const Device other = {DeviceType::kCuda, 1};
  Stream second = Stream::On(other);
  const Buffer y = Buffer::Allocate(other, sizeof(float));
  EXPECT_EQ(asked(second, 1, reinterpret_cast<float*>(y.data())), 1);
}

TEST_F(Launches, TheAttributeIsOfOneKernelAndDevice) {
  const void *const kernel = cuda::StaticKernelOf(3), *const twin = cuda::StaticKernelOf(4);
  Accepts([&] { return cudaFuncSetAttribute(kernel, kAttribute, k48KiB); });
  Accepts([&] { return LaunchStatic(kernel, k48KiB, handle_, y_.data()); });
  Refuses(cudaErrorInvalidValue, {"StaticKernel<4>", "of device 0 is not set"},
          [&] { return LaunchStatic(twin, k48KiB, handle_, y_.data()); });
  const cudaStream_t second = StreamOf(1);
  Refuses(cudaErrorInvalidValue, {"StaticKernel<3>", "of device 1 is not set"},
          [&] { return LaunchStatic(kernel, k48KiB, second, y_.data()); });
  cudaSetDevice(0);
}

TEST_F(Launches, TheAttributeIsALimit) {
  const void* const kernel = cuda::StaticKernelOf(5);
  Accepts([&] { return cudaFuncSetAttribute(kernel, kAttribute, 60000); });
  Refuses(cudaErrorInvalidValue,
          {"launch of", "StaticKernel<5>", "60004 bytes of dynamic shared memory, but ",
           "cudaFuncAttributeMaxDynamicSharedMemorySize of device 0 is 60000"},
          [&] { return LaunchStatic(kernel, 60004, handle_, y_.data()); });
  Accepts([&] { return cudaFuncSetAttribute(kernel, kAttribute, kMost - kStatic); });
  Refuses(cudaErrorInvalidValue,
          {"cudaFuncAttributeMaxDynamicSharedMemorySize of device 0 of", "StaticKernel<5>",
           "165889 bytes of dynamic shared memory and 1024 of static are more than 166912"},
          [&] { return cudaFuncSetAttribute(kernel, kAttribute, kMost - kStatic + 1); });
}

TEST_F(Launches, LaunchEndsWhereABlockHasNoRoom) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        simt::CollectReports collected;  // else the machine ends the process first
        cuda::SumStatic(stream_, 6, y_.data(), kMost);
      },
      "with 166912 bytes of shared memory: invalid argument");
}

TEST_F(Launches, AFunctionsOwnMemoryCountsOnceItIsSeen) {
  const void* const kernel = cuda::CalleeKernelOf();
  cudaFuncAttributes attributes;
  cudaFuncGetAttributes(&attributes, kernel);
  EXPECT_EQ(attributes.sharedSizeBytes, 0u);
  ReportsOnce({"launch of", "CalleeKernel", "would be refused",
               "49152 bytes of dynamic shared memory and 1024 of static are more than 49152"},
              [&] {
                EXPECT_EQ(LaunchStatic(kernel, k48KiB, handle_, y_.data()), cudaSuccess);
                stream_.Synchronize();
              });
  Refuses(cudaErrorInvalidValue, {"CalleeKernel", "1024 of static"},
          [&] { return LaunchStatic(kernel, k48KiB, handle_, y_.data()); });
  Accepts([&] { return LaunchStatic(kernel, k48KiB - kStatic, handle_, y_.data()); });
  EXPECT_EQ(Result(), 127);
}

TEST_F(Launches, ShapesHaveLimits) {
  const void* const kernel = cuda::StaticKernelOf(7);
  const auto launch = [&](dim3 grid, dim3 block) {
    float* y = y_.data();
    int floats = 1;
    void* arguments[] = {&y, &floats};
    return cudaLaunchKernel(kernel, grid, block, arguments, 4, handle_);
  };
  const auto refuses = [&](dim3 grid, dim3 block, const std::string& text) {
    Refuses(cudaErrorInvalidConfiguration, {"launch of", "StaticKernel<7>", text},
            [&] { return launch(grid, block); });
  };
  const std::string grids = " blocks, more than 2147483647 x 65535 x 65535";
  refuses(dim3(0x80000000u), 128, "a grid of 2147483648 x 1 x 1" + grids);
  refuses(dim3(1, 65536), 128, "a grid of 1 x 65536 x 1" + grids);
  refuses(dim3(1, 1, 65536), 128, "a grid of 1 x 1 x 65536" + grids);
  const std::string blocks = " threads, more than 1024 together or 64 in z";
  refuses(1, 1025, "blocks of 1025 x 1 x 1" + blocks);
  refuses(1, dim3(32, 33), "blocks of 32 x 33 x 1" + blocks);
  refuses(1, dim3(1, 1, 65), "blocks of 1 x 1 x 65" + blocks);
  refuses(dim3(1, 0), 128, "nothing to run in a grid of 1 x 0 x 1 blocks");
  refuses(1, dim3(0), "nothing to run in a grid of 1 x 1 x 1 blocks of 0 x 1 x 1 threads");
  EXPECT_EQ(Result(), -1);
  Accepts([&] { return launch(1, 128); });
  EXPECT_EQ(Result(), 127);
}

TEST_F(Launches, ArgumentsHaveALimit) {
  struct {
    char at[4096] = {};
  } bytes;
  bytes.at[4087] = 3;
  float* y = y_.data();
  void* arguments[] = {&y, &bytes};
  Refuses(cudaErrorInvalidValue,
          {"launch of", "ArgumentsKernel<4096>", "4104 bytes of arguments, more than 4096"}, [&] {
            return cudaLaunchKernel(cuda::ArgumentsKernelOf(4104), 1, 1, arguments, 0, handle_);
          });
  Accepts(
      [&] { return cudaLaunchKernel(cuda::ArgumentsKernelOf(4096), 1, 1, arguments, 0, handle_); });
  EXPECT_EQ(Result(), 3);
}

TEST_F(Launches, AnyFunctionIsNoKernel) {
  Refuses(cudaErrorInvalidDeviceFunction, {"no kernel"}, [&] {
    return cudaLaunchKernel(reinterpret_cast<const void*>(&cudaFree), 1, 1, nullptr, 0, handle_);
  });
}

}  // namespace
}  // namespace tl
