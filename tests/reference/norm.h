// SPDX-License-Identifier: Apache-2.0
// Twin of kernels/norm.h in plain loops. S = double is the reference; S = float the naive one.
#pragma once

#include <cmath>
#include <cstddef>
#include <type_traits>
#include <vector>

namespace tl::reference {

template <typename S>
struct RmsNormResult {
  std::vector<S> y;     // as x
  std::vector<S> rstd;  // [rows]
};

// x: [rows, H] with H = w.size().
template <typename S>
RmsNormResult<S> RmsNorm(const std::vector<S>& x, const std::vector<S>& w,
                         std::type_identity_t<S> eps) {
  const size_t width = w.size(), rows = x.size() / width;
  RmsNormResult<S> out{std::vector<S>(x.size()), std::vector<S>(rows)};
  for (size_t r = 0; r < rows; ++r) {
    S squares = 0;
    for (size_t j = 0; j < width; ++j) squares += x[r * width + j] * x[r * width + j];
    out.rstd[r] = S(1) / std::sqrt(squares / static_cast<S>(width) + eps);
    for (size_t j = 0; j < width; ++j) out.y[r * width + j] = x[r * width + j] * out.rstd[r] * w[j];
  }
  return out;
}

template <typename S>
struct RmsNormGradients {
  std::vector<S> dx;
  std::vector<S> dw;
};

template <typename S>
RmsNormGradients<S> RmsNormBackward(const std::vector<S>& dy, const std::vector<S>& x,
                                    const std::vector<S>& w, const std::vector<S>& rstd) {
  const size_t width = w.size(), rows = x.size() / width;
  RmsNormGradients<S> out{std::vector<S>(x.size()), std::vector<S>(width)};
  for (size_t r = 0; r < rows; ++r) {
    const S* h = &x[r * width];
    const S* g = &dy[r * width];
    S dot = 0;
    for (size_t j = 0; j < width; ++j) dot += w[j] * g[j] * h[j];
    const S mean = dot / static_cast<S>(width);
    for (size_t j = 0; j < width; ++j) {
      out.dx[r * width + j] = rstd[r] * (w[j] * g[j] - h[j] * rstd[r] * rstd[r] * mean);
      out.dw[j] += g[j] * h[j] * rstd[r];
    }
  }
  return out;
}

}  // namespace tl::reference
