// SPDX-License-Identifier: Apache-2.0
// Streams, events and memory of every device that is here.
#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "device/cuda.h"
#include "device/device.h"

namespace tl {
namespace {

class OnDevice : public testing::TestWithParam<DeviceType> {
 protected:
  void SetUp() override {
    if (GetParam() == DeviceType::kCuda && cuda::DeviceCount() == 0)
      GTEST_SKIP() << cuda::GetPlatform().absent;
  }
  Device device() const { return {GetParam(), 0}; }
};
INSTANTIATE_TEST_SUITE_P(, OnDevice, testing::Values(DeviceType::kCpu, DeviceType::kCuda),
                         [](const auto& info) {
                           return info.param == DeviceType::kCpu ? "Cpu" : "Cuda";
                         });

std::vector<std::byte> Counting(size_t n, int first) {
  std::vector<std::byte> out(n);
  for (size_t i = 0; i < n; ++i) out[i] = static_cast<std::byte>(first + i);
  return out;
}

TEST_P(OnDevice, CopiesThereAndBackInOrder) {
  Stream stream = Stream::On(device());
  EXPECT_EQ(stream.device(), device());
  constexpr size_t kBytes = 100003;
  Buffer a = Buffer::Allocate(device(), kBytes), b = Buffer::Allocate(device(), kBytes);
  EXPECT_EQ(a.device(), device());
  EXPECT_EQ(reinterpret_cast<uintptr_t>(a.data()) % 64, 0u);
  std::vector<std::byte> x = Counting(kBytes, 3), back(kBytes);
  CopyBytes(stream, a.data(), x.data(), kBytes);
  x.assign(kBytes, std::byte{0});  // plain host memory is free again
  ZeroBytes(stream, b.data(), kBytes);
  CopyBytes(stream, b.data() + 7, a.data(), kBytes - 7);
  CopyBytes(stream, back.data(), b.data(), kBytes);
  const std::vector<std::byte> expected = Counting(kBytes, 3 - 7);
  EXPECT_EQ(std::memcmp(back.data() + 7, expected.data() + 7, kBytes - 7), 0);
  for (int i = 0; i < 7; ++i) EXPECT_EQ(back[i], std::byte{0});
  CopyBytes(stream, nullptr, nullptr, 0);
  ZeroBytes(stream, nullptr, 0);
}

TEST_P(OnDevice, EventsOrderStreams) {
  Stream first = Stream::On(device()), second = Stream::On(device(), Stream::Mode::kAsync);
  Stream host = Stream::Cpu();
  constexpr size_t kBytes = 1 << 20;
  Buffer a = Buffer::Allocate(device(), kBytes), b = Buffer::Allocate(device(), kBytes);
  Buffer to = Buffer::AllocateHost(device(), kBytes), from = Buffer::AllocateHost(device(), kBytes);
  for (int round = 0; round < 20; ++round) {
    const std::vector<std::byte> x = Counting(kBytes, round);
    std::memcpy(to.data(), x.data(), kBytes);
    CopyBytes(first, a.data(), to.data(), kBytes);
    second.Wait(Event::Record(first));
    CopyBytes(second, b.data(), a.data(), kBytes);
    const Event copied = Event::Record(second);
    first.Wait(copied);
    ZeroBytes(first, a.data(), kBytes);
    CopyBytes(first, from.data(), b.data(), kBytes);
    const Event done = Event::Record(first);
    host.Wait(done);
    EXPECT_TRUE(done.Query() && copied.Query());
    ASSERT_EQ(std::memcmp(from.data(), x.data(), kBytes), 0) << round;
  }
  Event never;
  EXPECT_TRUE(never.Query());
  first.Wait(never);
  first.Synchronize();
}

TEST_P(OnDevice, ScratchGrowsAndStays) {
  Stream stream = Stream::On(device());
  EXPECT_EQ(stream.scratch_bytes(), 0u);
  std::byte* small = stream.Scratch(1000);
  ZeroBytes(stream, small, 1000);
  EXPECT_EQ(stream.Scratch(10), small);
  std::byte* large = stream.Scratch(100000);
  ZeroBytes(stream, large, 100000);
  EXPECT_EQ(stream.scratch_bytes(), 100000u);
  stream.Synchronize();
}

TEST_P(OnDevice, BuffersMove) {
  Buffer empty = Buffer::Allocate(device(), 0);
  EXPECT_EQ(empty.data(), nullptr);
  Buffer a = Buffer::Allocate(device(), 4096), pinned = Buffer::AllocateHost(device(), 4096);
  std::byte* data = a.data();
  Buffer b = std::move(a);
  EXPECT_EQ(b.data(), data);
  std::swap(b, pinned);
  EXPECT_EQ(pinned.data(), data);
  EXPECT_EQ(pinned.device(), device());
  b = Buffer();
}

TEST(CudaPlatform, SaysWhyThereAreNoDevices) {
  const cuda::Platform& platform = cuda::GetPlatform();
  EXPECT_EQ(platform.devices.empty(), !platform.absent.empty());
}

}  // namespace
}  // namespace tl
