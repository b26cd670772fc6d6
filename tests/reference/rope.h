// SPDX-License-Identifier: Apache-2.0
// Twin of kernels/rope.h in plain loops. S = double is the reference; S = float the naive one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

namespace tl::reference {

// x: [rows, heads, D]; table: [max positions, 2, D/2]. direction: +1, or -1 for the inverse.
template <typename S>
std::vector<S> Rope(const std::vector<S>& x, const std::vector<int32_t>& positions,
                    const std::vector<S>& table, size_t heads, size_t head_size,
                    std::type_identity_t<S> direction = 1) {
  const size_t half = head_size / 2;
  std::vector<S> y(x.size());
  for (size_t n = 0; n < positions.size(); ++n) {
    const S* row = &table[static_cast<size_t>(positions[n]) * head_size];
    for (size_t h = 0; h < heads; ++h) {
      const size_t at = (n * heads + h) * head_size;
      for (size_t j = 0; j < half; ++j) {
        const S c = row[j], s = direction * row[half + j];
        y[at + j] = x[at + j] * c - x[at + half + j] * s;
        y[at + half + j] = x[at + half + j] * c + x[at + j] * s;
      }
    }
  }
  return y;
}

// A rotation's transpose is its inverse.
template <typename S>
std::vector<S> RopeBackward(const std::vector<S>& dy, const std::vector<int32_t>& positions,
                            const std::vector<S>& table, size_t heads, size_t head_size) {
  return Rope(dy, positions, table, heads, head_size, -1);
}

}  // namespace tl::reference
