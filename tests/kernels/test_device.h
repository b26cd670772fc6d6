// SPDX-License-Identifier: Apache-2.0
// The device that a test runs on: the CPU, or cuda:0 where TL_TEST_DEVICE=cuda and in a build for
// the SIMT machine. Every test of a program that includes this is skipped where there is no such
// device.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "device/cuda.h"
#include "device/device.h"
#include "device/tensor.h"

namespace tl {

// The SIMT machine, thousands of times slower than a core.
#if defined(TL_SIMT)
inline constexpr bool kMachine = true;
#else
inline constexpr bool kMachine = false;
#endif

inline Device TestDevice() {
#if defined(TL_SIMT)
  return {DeviceType::kCuda, 0};
#else
  const char* name = std::getenv("TL_TEST_DEVICE");
  return {name != nullptr && std::string(name) == "cuda" ? DeviceType::kCuda : DeviceType::kCpu, 0};
#endif
}

inline const char* TestDeviceName() {
  return TestDevice().type == DeviceType::kCuda ? "cuda" : "cpu";
}

// One for all: what a test reads comes after what it started. Left to the end of the process, which
// may come after the end of CUDA.
inline Stream& TestStream() {
  static auto* stream = new Stream(Stream::On(TestDevice()));
  return *stream;
}

// The values of an fp32 tensor after the stream's work.
inline std::vector<float> OnHost(Stream& stream, const Tensor& x) {
  std::vector<float> out(x.elements());
  CopyBytes(stream, reinterpret_cast<std::byte*>(out.data()), x.data, x.bytes());
  return out;
}

// A value in the device's memory.
template <typename T>
class Placed {
 public:
  explicit Placed(const T& value) : memory_(Buffer::Allocate(TestDevice(), sizeof(T))) {
    CopyBytes(TestStream(), memory_.data(), reinterpret_cast<const std::byte*>(&value), sizeof(T));
  }
  T* get() const { return reinterpret_cast<T*>(memory_.data()); }
  T Get() const {
    T value;
    CopyBytes(TestStream(), reinterpret_cast<std::byte*>(&value), memory_.data(), sizeof(T));
    return value;
  }

 private:
  Buffer memory_;
};

class SkipWithoutDevice : public testing::EmptyTestEventListener {
 public:
  void OnTestStart(const testing::TestInfo&) override {
    if (TestDevice().type == DeviceType::kCuda && cuda::DeviceCount() == 0)
      GTEST_SKIP() << cuda::GetPlatform().absent;
  }
};

inline const bool kSkipsWithoutDevice = [] {
  testing::UnitTest::GetInstance()->listeners().Append(new SkipWithoutDevice);
  return true;
}();

}  // namespace tl
