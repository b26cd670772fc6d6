// SPDX-License-Identifier: Apache-2.0
// Dropout in plain loops.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/philox.h"

namespace tl::reference {

// Whether an element stays, and what 1 - p is: p is the rate to the nearest 2^-16.
struct DropoutMask {
  double rate = 0.0;
  uint64_t key = 0;
  int64_t first_row = 0;

  double Share() const { return 1.0 - std::round(rate * 65536.0) / 65536.0; }
  bool Keeps(int64_t row, int64_t column) const {
    const PhiloxWords words =
        Philox(key, static_cast<uint64_t>(column / 8), static_cast<uint64_t>(first_row + row));
    const uint32_t word = words.w[column % 8 / 2];
    const uint32_t half = column % 2 == 0 ? word % 65536 : word / 65536;
    return half / 65536.0 >= 1.0 - Share();
  }
};

// x: [rows, columns]. Its own backward pass.
template <typename S>
std::vector<S> Dropout(const std::vector<S>& x, size_t columns, const DropoutMask& mask) {
  std::vector<S> y(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    if (mask.Keeps(static_cast<int64_t>(i / columns), static_cast<int64_t>(i % columns)))
      y[i] = x[i] / static_cast<S>(mask.Share());
  }
  return y;
}

}  // namespace tl::reference
