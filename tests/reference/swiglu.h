// SPDX-License-Identifier: Apache-2.0
// Twin of kernels/swiglu.h in plain loops. S = double is the reference; S = float the naive one.
#pragma once

#include <cmath>
#include <cstddef>
#include <vector>

namespace tl::reference {

// gate_up: [rows, 2 width]; the result is [rows, width].
template <typename S>
std::vector<S> Swiglu(const std::vector<S>& gate_up, size_t width) {
  const size_t rows = gate_up.size() / (2 * width);
  std::vector<S> y(rows * width);
  for (size_t n = 0; n < rows; ++n) {
    for (size_t f = 0; f < width; ++f) {
      const S g = gate_up[2 * n * width + f], u = gate_up[(2 * n + 1) * width + f];
      y[n * width + f] = g / (S(1) + std::exp(-g)) * u;
    }
  }
  return y;
}

// The gradient of gate_up.
template <typename S>
std::vector<S> SwigluBackward(const std::vector<S>& dy, const std::vector<S>& gate_up,
                              size_t width) {
  const size_t rows = dy.size() / width;
  std::vector<S> d_gate_up(gate_up.size());
  for (size_t n = 0; n < rows; ++n) {
    for (size_t f = 0; f < width; ++f) {
      const S g = gate_up[2 * n * width + f], u = gate_up[(2 * n + 1) * width + f];
      const S s = S(1) / (S(1) + std::exp(-g)), d = dy[n * width + f];
      d_gate_up[2 * n * width + f] = d * u * (s + g * s * (S(1) - s));
      d_gate_up[(2 * n + 1) * width + f] = d * g * s;
    }
  }
  return d_gate_up;
}

}  // namespace tl::reference
