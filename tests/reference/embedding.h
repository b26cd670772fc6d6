// SPDX-License-Identifier: Apache-2.0
// Twin of kernels/embedding.h in plain loops. S = double is the reference; S = float the naive one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace tl::reference {

// table: [rows, width], holding ids begin, begin + 1, ...; other tokens give 0.
template <typename S>
std::vector<S> Embedding(const std::vector<S>& table, const std::vector<int32_t>& tokens,
                         size_t width, int64_t begin = 0) {
  const auto rows = static_cast<int64_t>(table.size() / width);
  std::vector<S> y(tokens.size() * width);
  for (size_t n = 0; n < tokens.size(); ++n) {
    const int64_t local = tokens[n] - begin;
    if (local < 0 || local >= rows) continue;
    for (size_t j = 0; j < width; ++j)
      y[n * width + j] = table[static_cast<size_t>(local) * width + j];
  }
  return y;
}

// Adds into d_table.
template <typename S>
void EmbeddingBackward(std::vector<S>& d_table, const std::vector<S>& dy,
                       const std::vector<int32_t>& tokens, size_t width, int64_t begin = 0) {
  const auto rows = static_cast<int64_t>(d_table.size() / width);
  for (size_t n = 0; n < tokens.size(); ++n) {
    const int64_t local = tokens[n] - begin;
    if (local < 0 || local >= rows) continue;
    for (size_t j = 0; j < width; ++j)
      d_table[static_cast<size_t>(local) * width + j] += dy[n * width + j];
  }
}

}  // namespace tl::reference
