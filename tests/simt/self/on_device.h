// SPDX-License-Identifier: Apache-2.0
// Arrays on the machine's device, and every order to run in.
#pragma once

#include <cstddef>
#include <vector>

#include "device/device.h"
#include "tests/simt/control.h"

namespace tl {

inline constexpr Device kMachine = {DeviceType::kCuda, 0};

template <class T>
class OnDevice {
 public:
  OnDevice(Stream& stream, const std::vector<T>& values)
      : size_(values.size()), memory_(Buffer::Allocate(kMachine, values.size() * sizeof(T))) {
    CopyBytes(stream, memory_.data(), reinterpret_cast<const std::byte*>(values.data()),
              size_ * sizeof(T));
  }
  OnDevice(Stream& stream, size_t size) : OnDevice(stream, std::vector<T>(size)) {}
  T* data() const { return reinterpret_cast<T*>(memory_.data()); }
  std::vector<T> Get(Stream& stream) const {
    std::vector<T> values(size_);
    CopyBytes(stream, reinterpret_cast<std::byte*>(values.data()), memory_.data(),
              size_ * sizeof(T));
    return values;
  }

 private:
  size_t size_;
  Buffer memory_;
};

inline std::vector<float> Counting(int n) {
  std::vector<float> out(n);
  for (int i = 0; i < n; ++i) out[i] = static_cast<float>(i);
  return out;
}

// Calls f in ascending, descending and eight random orders.
template <class F>
void InEveryOrder(const F& f) {
  using simt::Order;
  for (int i = 0; i < 10; ++i) {
    simt::SetOrder(i == 0 ? Order::kAscending : i == 1 ? Order::kDescending : Order::kRandom, i);
    f();
  }
  simt::SetOrder(Order::kAscending);
}

}  // namespace tl
