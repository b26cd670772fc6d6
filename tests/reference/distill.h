// SPDX-License-Identifier: Apache-2.0
// Twin of kernels/distill.h over the whole vocabulary, in plain loops. S = double is the reference;
// S = float the naive one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "tests/reference/cross_entropy.h"

namespace tl::reference {

template <typename S>
struct DistillResult {
  std::vector<S> loss;      // [rows], KL(softmax(teacher) || softmax(logits)) + z_loss lse^2
  std::vector<S> d_logits;  // of scale * the sum of losses
};

// logits, teacher: [rows, width], rows = targets.size(); only the first `valid` columns count, and
// no row with a negative target.
template <typename S>
DistillResult<S> Distill(const std::vector<S>& logits, const std::vector<S>& teacher,
                         const std::vector<int32_t>& targets, size_t valid,
                         std::type_identity_t<S> scale, std::type_identity_t<S> z_loss = 0) {
  const size_t rows = targets.size(), width = logits.size() / rows;
  const std::vector<S> lse = CrossEntropy(logits, targets, valid).lse;
  const std::vector<S> teacher_lse = CrossEntropy(teacher, targets, valid).lse;
  DistillResult<S> out{std::vector<S>(rows), std::vector<S>(logits.size())};
  for (size_t n = 0; n < rows; ++n) {
    if (targets[n] < 0) continue;
    out.loss[n] = z_loss * lse[n] * lse[n];
    for (size_t v = 0; v < valid; ++v) {
      const S log_p = logits[n * width + v] - lse[n];
      const S log_q = teacher[n * width + v] - teacher_lse[n];
      const S p = std::exp(log_p), q = std::exp(log_q);
      out.loss[n] += q * (log_q - log_p);
      out.d_logits[n * width + v] = scale * (p * (S(1) + S(2) * z_loss * lse[n]) - q);
    }
  }
  return out;
}

}  // namespace tl::reference
