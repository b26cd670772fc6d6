// SPDX-License-Identifier: Apache-2.0
// Dropout (Srivastava et al. 2014), with a mask that depends on a key and on an element's place
// alone: the same on every grid, and again wherever it is wanted a second time.
#pragma once

#include <cmath>

#include "base/philox.h"
#include "kernels/dispatch.h"

namespace tl {

// y[r, c] = keep(first_row + r, c) ? x[r, c] / (1 - p) : 0, with p the rate to the nearest 2^-16:
//   keep(row, c) = half(Philox(key, c / 8, row), c % 8) >= 2^16 p.
// It is its own backward pass, with dy for x. x, y: [rows, columns], contiguous, of one type; y may
// alias x. 0 <= p < 1.
struct DropoutArgs {
  Tensor y;
  Tensor x;
  double rate = 0.0;
  uint64_t key = 0;
  int64_t first_row = 0;
};
TL_DECLARE_OP(Dropout);

// Returns 16 of the 128 bits, i in [0, 8).
TL_HOST_DEVICE inline uint32_t PhiloxHalf(const PhiloxWords& words, int i) {
  return (words.w[i / 2] >> (i % 2 * 16)) & 0xffffu;
}

// Returns the p that is taken, in units of 2^-16.
inline uint32_t DropoutThreshold(double rate) {
  return static_cast<uint32_t>(std::lround(rate * 0x1p16));
}
inline float DropoutScale(double rate) {
  return static_cast<float>(0x1p16 / (0x1p16 - DropoutThreshold(rate)));
}

}  // namespace tl
