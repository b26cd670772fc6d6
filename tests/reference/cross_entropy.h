// SPDX-License-Identifier: Apache-2.0
// Twin of kernels/cross_entropy.h over the whole vocabulary, in plain loops. S = double is the
// reference; S = float the naive one.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

namespace tl::reference {

template <typename S>
struct CrossEntropyResult {
  std::vector<S> lse;   // [rows]
  std::vector<S> loss;  // [rows], lse - z_target + z_loss lse^2, 0 where the target is negative
};

// logits: [rows, width], rows = targets.size(); only the first `valid` columns count.
template <typename S>
CrossEntropyResult<S> CrossEntropy(const std::vector<S>& logits,
                                   const std::vector<int32_t>& targets, size_t valid,
                                   std::type_identity_t<S> z_loss = 0) {
  const size_t rows = targets.size(), width = logits.size() / rows;
  CrossEntropyResult<S> out{std::vector<S>(rows), std::vector<S>(rows)};
  for (size_t n = 0; n < rows; ++n) {
    const S* z = &logits[n * width];
    S max = z[0], sum = 0;
    for (size_t v = 1; v < valid; ++v) max = z[v] > max ? z[v] : max;
    for (size_t v = 0; v < valid; ++v) sum += std::exp(z[v] - max);
    const S lse = out.lse[n] = max + std::log(sum);
    if (targets[n] >= 0) out.loss[n] = lse - z[targets[n]] + z_loss * lse * lse;
  }
  return out;
}

// The gradient of scale * sum of the losses by logits.
template <typename S>
std::vector<S> CrossEntropyGrad(const std::vector<S>& logits, const std::vector<int32_t>& targets,
                                size_t valid, std::type_identity_t<S> scale,
                                std::type_identity_t<S> z_loss = 0) {
  const size_t rows = targets.size(), width = logits.size() / rows;
  const std::vector<S> lse = CrossEntropy(logits, targets, valid, z_loss).lse;
  std::vector<S> d_logits(logits.size());
  for (size_t n = 0; n < rows; ++n) {
    if (targets[n] < 0) continue;
    for (size_t v = 0; v < valid; ++v) {
      const S p = std::exp(logits[n * width + v] - lse[n]);
      const S one = static_cast<size_t>(targets[n]) == v ? 1 : 0;
      d_logits[n * width + v] = scale * (p * (S(1) + S(2) * z_loss * lse[n]) - one);
    }
  }
  return d_logits;
}

}  // namespace tl::reference
