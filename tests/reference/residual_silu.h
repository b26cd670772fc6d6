// SPDX-License-Identifier: Apache-2.0
// Twin of kernels/residual_silu.h in plain loops.
#pragma once

#include <cmath>
#include <vector>

namespace tl::reference {

template <typename S>
std::vector<S> ResidualSilu(const std::vector<S>& x, const std::vector<S>& a) {
  std::vector<S> y(x);
  for (size_t i = 0; i < y.size(); ++i) y[i] += a[i] / (S{1} + std::exp(-a[i]));
  return y;
}

template <typename S>
std::vector<S> ResidualSiluBackward(const std::vector<S>& dy, const std::vector<S>& a) {
  std::vector<S> d_a(dy);
  for (size_t i = 0; i < d_a.size(); ++i) {
    const S s = S{1} / (S{1} + std::exp(-a[i]));
    d_a[i] *= s + a[i] * s * (S{1} - s);
  }
  return d_a;
}

}  // namespace tl::reference
