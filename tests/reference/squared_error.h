// SPDX-License-Identifier: Apache-2.0
// Twin of kernels/squared_error.h in plain loops.
#pragma once

#include <cstddef>
#include <type_traits>
#include <vector>

namespace tl::reference {

template <typename S>
struct SquaredErrorResult {
  std::vector<S> losses;  // [B]
  std::vector<S> dy;      // of the sum of losses, times scale; as y
};

// y, target: whole rows of `width`, the first of them row `first` of the batch; samples have
// `length` rows each and there is a weight for each.
template <typename S>
SquaredErrorResult<S> SquaredError(const std::vector<S>& y, const std::vector<S>& target,
                                   const std::vector<S>& weights, std::type_identity_t<S> scale,
                                   size_t width, size_t length, size_t first) {
  SquaredErrorResult<S> out{std::vector<S>(weights.size()), std::vector<S>(y.size())};
  for (size_t i = 0; i < y.size(); ++i) {
    const size_t sample = (first + i / width) / length;
    const S factor = weights[sample] / static_cast<S>(length * width);
    const S error = y[i] - target[i];
    out.losses[sample] += factor * error * error;
    out.dy[i] = 2 * scale * factor * error;
  }
  return out;
}

}  // namespace tl::reference
