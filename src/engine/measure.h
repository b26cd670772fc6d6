// SPDX-License-Identifier: Apache-2.0
// Times what a stream is given, over memory full of random numbers.
#pragma once

#include <functional>
#include <vector>

#include "device/device.h"
#include "device/tensor.h"

namespace tl {

// Seconds of one call, by the fastest of several measurements in about `budget` seconds, after a
// call that warms up: interruptions only ever add time. A CPU's measurement is one call; a GPU's so
// many, one behind the other, that the first launch and the wait at the end are below 1 %.
double FastestSeconds(Stream& stream, double budget, const std::function<void()>& call);

// Tensors of numbers of size about 1, while it lives: what is all zeros may run faster than what is
// not.
class RandomMemory {
 public:
  explicit RandomMemory(Stream& stream) : stream_(stream) {}
  RandomMemory(const RandomMemory&) = delete;
  // Begins `offset` bytes behind where an allocation does.
  Tensor Make(Shape shape, DType dtype, int64_t offset = 0);

 private:
  Stream& stream_;
  std::vector<Buffer> buffers_;
};

}  // namespace tl
