// SPDX-License-Identifier: Apache-2.0
// Twins of kernels/modulated_norm.h and kernels/gate_backward.h in plain loops. S = double is the
// reference; S = float the naive one.
#pragma once

#include <cmath>
#include <cstddef>
#include <type_traits>
#include <vector>

namespace tl::reference {

// Row r is row first + r of the batch, in which samples have `length` rows each.
struct SampleOfRow {
  size_t length, first;
  size_t operator()(size_t row) const { return (first + row) / length; }
};

// h = x + gate residual; gate [B, width] by sample.
template <typename S>
std::vector<S> GatedAdd(const std::vector<S>& x, const std::vector<S>& residual,
                        const std::vector<S>& gate, size_t width, SampleOfRow sample) {
  std::vector<S> h(x);
  for (size_t i = 0; i < h.size(); ++i)
    h[i] += gate[sample(i / width) * width + i % width] * residual[i];
  return h;
}

template <typename S>
struct GateGradients {
  std::vector<S> d_residual;
  std::vector<S> d_gate;  // as gate
};

template <typename S>
GateGradients<S> GateBackward(const std::vector<S>& d, const std::vector<S>& residual,
                              const std::vector<S>& gate, size_t width, SampleOfRow sample) {
  GateGradients<S> out{d, std::vector<S>(gate.size())};
  for (size_t i = 0; i < d.size(); ++i) {
    const size_t at = sample(i / width) * width + i % width;
    out.d_residual[i] *= gate[at];
    out.d_gate[at] += d[i] * residual[i];
  }
  return out;
}

template <typename S>
struct ModulatedNormResult {
  std::vector<S> y;     // as h
  std::vector<S> rstd;  // [rows]
};

// h: [rows, width]; shift, scale: [B, width].
template <typename S>
ModulatedNormResult<S> ModulatedNorm(const std::vector<S>& h, const std::vector<S>& shift,
                                     const std::vector<S>& scale, size_t width, SampleOfRow sample,
                                     std::type_identity_t<S> eps) {
  const size_t rows = h.size() / width;
  ModulatedNormResult<S> out{h, std::vector<S>(rows)};
  for (size_t r = 0; r < rows; ++r) {
    const size_t at = sample(r) * width;
    S squares = 0;
    for (size_t j = 0; j < width; ++j) squares += h[r * width + j] * h[r * width + j];
    out.rstd[r] = S(1) / std::sqrt(squares / static_cast<S>(width) + eps);
    for (size_t j = 0; j < width; ++j) {
      S& y = out.y[r * width + j];
      y = y * out.rstd[r] * (S(1) + scale[at + j]) + shift[at + j];
    }
  }
  return out;
}

template <typename S>
struct ModulatedNormGradients {
  std::vector<S> dx;
  std::vector<S> d_shift, d_scale;  // as scale
};

template <typename S>
ModulatedNormGradients<S> ModulatedNormBackward(const std::vector<S>& dy, const std::vector<S>& h,
                                                const std::vector<S>& scale,
                                                const std::vector<S>& rstd, size_t width,
                                                SampleOfRow sample) {
  const size_t rows = h.size() / width;
  ModulatedNormGradients<S> out{std::vector<S>(h.size()), std::vector<S>(scale.size()),
                                std::vector<S>(scale.size())};
  for (size_t r = 0; r < rows; ++r) {
    const size_t at = sample(r) * width;
    S dot = 0;
    for (size_t j = 0; j < width; ++j)
      dot += dy[r * width + j] * (S(1) + scale[at + j]) * h[r * width + j];
    const S mean = dot / static_cast<S>(width);
    for (size_t j = 0; j < width; ++j) {
      const size_t i = r * width + j;
      const S g = dy[i] * (S(1) + scale[at + j]);
      out.dx[i] = rstd[r] * (g - h[i] * rstd[r] * rstd[r] * mean);
      out.d_shift[at + j] += dy[i];
      out.d_scale[at + j] += dy[i] * h[i] * rstd[r];
    }
  }
  return out;
}

}  // namespace tl::reference
