// SPDX-License-Identifier: Apache-2.0
// Twin of the linear layers over kernels/matmul.h in plain loops. S = double is the reference; S =
// float the naive one.
#pragma once

#include <cstddef>
#include <vector>

namespace tl::reference {

// y[n, o] = sum_i x[n, i] w[o, i] + b[o]; b empty: none. x: [rows, in], w: [out, in].
template <typename S>
std::vector<S> Linear(const std::vector<S>& x, const std::vector<S>& w, size_t in,
                      const std::vector<S>& b = {}) {
  const size_t rows = x.size() / in, out = w.size() / in;
  std::vector<S> y(rows * out);
  for (size_t n = 0; n < rows; ++n) {
    for (size_t o = 0; o < out; ++o) {
      S sum = b.empty() ? S(0) : b[o];
      for (size_t i = 0; i < in; ++i) sum += x[n * in + i] * w[o * in + i];
      y[n * out + o] = sum;
    }
  }
  return y;
}

// dx[n, i] += sum_o dy[n, o] w[o, i];  dw[o, i] += sum_n dy[n, o] x[n, i]. dx may be null.
template <typename S>
void LinearBackward(std::vector<S>* dx, std::vector<S>& dw, const std::vector<S>& dy,
                    const std::vector<S>& x, const std::vector<S>& w, size_t in) {
  const size_t rows = x.size() / in, out = w.size() / in;
  for (size_t n = 0; n < rows; ++n) {
    for (size_t o = 0; o < out; ++o) {
      const S d = dy[n * out + o];
      for (size_t i = 0; i < in; ++i) dw[o * in + i] += d * x[n * in + i];
      if (dx == nullptr) continue;
      for (size_t i = 0; i < in; ++i) (*dx)[n * in + i] += d * w[o * in + i];
    }
  }
}

// db[o] += sum_n dy[n, o].
template <typename S>
void BiasBackward(std::vector<S>& db, const std::vector<S>& dy) {
  for (size_t i = 0; i < dy.size(); ++i) db[i % db.size()] += dy[i];
}

}  // namespace tl::reference
