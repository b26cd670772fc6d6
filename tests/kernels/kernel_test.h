// SPDX-License-Identifier: Apache-2.0
// What the op tests share: tensors that own their memory, values, and the bound that a kernel
// keeps.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "base/philox.h"
#include "device/device.h"
#include "device/tensor.h"
#include "tests/kernels/test_device.h"

namespace tl {

using Doubles = std::vector<double>;

inline constexpr DType kFloatTypes[] = {DType::kF32, DType::kBF16, DType::kF16};

template <typename S>
std::vector<S> As(const Doubles& x) {
  return std::vector<S>(x.begin(), x.end());
}

inline double RoundedTo(DType dtype, double x) {
  const auto f = static_cast<float>(x);
  if (dtype == DType::kBF16) return ToFloat(FromFloat<BF16>(f));
  if (dtype == DType::kF16) return ToFloat(FromFloat<F16>(f));
  return f;
}

// Normals exactly representable in dtype.
inline Doubles Normals(DType dtype, int64_t n, uint64_t key, double scale = 1.0) {
  Doubles out(n);
  for (int64_t i = 0; i < n; ++i) out[i] = RoundedTo(dtype, scale * PhiloxNormal(key, i));
  return out;
}

inline std::vector<int32_t> Integers(int64_t n, int32_t below, uint64_t key) {
  std::vector<int32_t> out(n);
  for (int64_t i = 0; i < n; ++i) out[i] = Philox(key, i, 0).w[0] % below;
  return out;
}

// A contiguous tensor and its memory on the device, followed by a guard that no kernel may touch.
class Owned {
 public:
  // Every element a NaN.
  Owned(DType dtype, Shape shape) {
    const size_t bytes = shape.elements() * SizeOf(dtype);
    memory_ = Buffer::Allocate(TestDevice(), bytes + kGuard);
    Upload(std::vector<uint8_t>(memory_.size(), 0xff).data(), memory_.size());
    tensor_ = Tensor::Contiguous(memory_.data(), shape, dtype, TestDevice());
  }
  Owned(DType dtype, Shape shape, const Doubles& values) : Owned(dtype, shape) { Set(values); }
  template <typename T>
  Owned(Shape shape, const std::vector<T>& values) : Owned(DTypeOf<T>::value, shape) {
    Upload(values.data(), values.size() * sizeof(T));
  }
  Owned(Owned&&) = default;
  ~Owned() {
    if (memory_.data() == nullptr) return;
    const std::vector<uint8_t> bytes = Bytes();
    for (size_t i = bytes.size() - kGuard; i < bytes.size(); ++i) EXPECT_EQ(bytes[i], 0xff);
  }

  const Tensor& tensor() const { return tensor_; }
  operator const Tensor&() const { return tensor_; }

  void Set(const Doubles& values) {
    std::vector<uint8_t> bytes(values.size() * SizeOf(tensor_.dtype));
    for (size_t i = 0; i < values.size(); ++i) {
      const auto f = static_cast<float>(values[i]);
      if (tensor_.dtype == DType::kF32) Put(bytes, i, f);
      if (tensor_.dtype == DType::kBF16) Put(bytes, i, FromFloat<BF16>(f));
      if (tensor_.dtype == DType::kF16) Put(bytes, i, FromFloat<F16>(f));
    }
    Upload(bytes.data(), bytes.size());
  }
  Doubles Get() const {
    const std::vector<uint8_t> bytes = Bytes();
    Doubles out(tensor_.elements());
    for (size_t i = 0; i < out.size(); ++i) {
      if (tensor_.dtype == DType::kF32) out[i] = Take<float>(bytes, i);
      if (tensor_.dtype == DType::kBF16) out[i] = ToFloat(Take<BF16>(bytes, i));
      if (tensor_.dtype == DType::kF16) out[i] = ToFloat(Take<F16>(bytes, i));
    }
    return out;
  }
  // The guard too.
  std::vector<uint8_t> Bytes() const {
    std::vector<uint8_t> bytes(memory_.size());
    CopyBytes(TestStream(), reinterpret_cast<std::byte*>(bytes.data()), memory_.data(),
              bytes.size());
    return bytes;
  }
  void Upload(const void* bytes, size_t size) {
    CopyBytes(TestStream(), memory_.data(), static_cast<const std::byte*>(bytes), size);
  }

 private:
  template <typename T>
  static void Put(std::vector<uint8_t>& bytes, size_t i, T value) {
    std::memcpy(&bytes[i * sizeof(T)], &value, sizeof(T));
  }
  template <typename T>
  static T Take(const std::vector<uint8_t>& bytes, size_t i) {
    T value;
    std::memcpy(&value, &bytes[i * sizeof(T)], sizeof(T));
    return value;
  }
  static constexpr size_t kGuard = 64;
  Buffer memory_;
  Tensor tensor_;
};

// One unit in the last place of x in dtype.
inline double Ulp(DType dtype, double x) {
  const int digits = dtype == DType::kF32 ? 23 : dtype == DType::kBF16 ? 7 : 10;
  const int smallest = dtype == DType::kF16 ? -14 : -126;
  int exponent;
  std::frexp(x, &exponent);
  return std::ldexp(1.0, std::max(exponent - 1, smallest) - digits);
}

// The larger of two errors; NaN is the largest.
inline double Worse(double a, double b) { return std::isnan(a) || a >= b ? a : b; }

// The largest error of each quantity over its bound, printed at the program's end: one line "ratio
// NAME VALUE" each, where above 1 a test failed. Little more than 1 is a bound that is too narrow,
// much more is garbage.
class Ratios : public testing::Environment {
 public:
  // The quantity is named after the running test suite too.
  static void Add(const std::string& quantity, DType dtype, double ratio) {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    std::string suite = test == nullptr ? "" : test->test_suite_name();
    suite = suite.substr(suite.find('/') + 1);  // without the name of an instantiation
    double& largest = All()[suite + "." + quantity + "." + Name(dtype)];
    largest = Worse(largest, ratio);
  }
  void TearDown() override {
    for (const auto& [name, ratio] : All()) std::printf("ratio %s %.3g\n", name.c_str(), ratio);
  }

 private:
  static std::map<std::string, double>& All() {
    static std::map<std::string, double> all;
    return all;
  }
};
inline testing::Environment* const kRatios = testing::AddGlobalTestEnvironment(new Ratios);

// what: begins with the quantity's name.
inline void ExpectErrorWithin(DType dtype, double error, double bound, const std::string& what) {
  const double ratio = error == 0.0 ? 0.0 : error / bound;
  Ratios::Add(what.substr(0, what.find(' ')), dtype, ratio);
  EXPECT_LE(ratio, 1.0) << what << " " << Name(dtype) << ": error " << error << " is " << ratio
                        << " times the bound " << bound;
}

// How far a sum of `terms` products of 16-bit numbers may be off in fp32 where tensor cores make
// it, with size >= sum |a_k b_k|; 0 on CPUs, which round each addition as the naive twin does.
//
// A block of products and the sum before them are aligned to their largest exponent e, where
// 2^e <= size, and all but the one that has it are truncated; so is the new sum, to fp32
// (tests/simt/tensor_core.h has the measurements). In units of size a block is off by at most
//   16 products, 25 bits (Hopper): 16 2^-25 + 2^-23 = 1.25 2^-21
//    8 products, 24 bits (Ampere):  8 2^-24 + 2^-23 = 1.25 2^-21
// which is taken for every 8 products here, with 2^-24 more since parts of a sum may be added in
// fp32. Truncation always points towards zero, so these errors add up, where those of IEEE's
// additions grow as the square root of their number.
inline double TensorCoreError(int64_t terms, double size) {
  if (TestDevice().type != DeviceType::kCuda) return 0.0;
  const auto blocks = static_cast<double>((terms + 7) / 8);
  return blocks * (1.25 * 0x1p-21 + 0x1p-24) * size;
}

// max |out - ref| <= 2 max |naive - ref| + atol + more: naive is the twin in fp32, rounded to dtype
// here; atol is 4 ulp of max |ref| in fp32, 1 ulp in the 16-bit types.
inline void ExpectWithinBound(DType dtype, const Doubles& out, const Doubles& ref,
                              const std::vector<float>& naive, const std::string& what,
                              double more = 0.0) {
  ASSERT_EQ(out.size(), ref.size()) << what;
  ASSERT_EQ(naive.size(), ref.size()) << what;
  double error = 0.0, allowed = 0.0, largest = 0.0;
  for (size_t i = 0; i < ref.size(); ++i) {
    error = Worse(error, std::fabs(out[i] - ref[i]));
    allowed = std::max(allowed, std::fabs(RoundedTo(dtype, naive[i]) - ref[i]));
    largest = std::max(largest, std::fabs(ref[i]));
  }
  const double atol = (dtype == DType::kF32 ? 4 : 1) * Ulp(dtype, largest);
  ExpectErrorWithin(dtype, error, 2 * allowed + atol + more, what);
}

inline std::string At(int64_t a, int64_t b = 0) {
  return " at " + std::to_string(a) + "x" + std::to_string(b);
}

}  // namespace tl
