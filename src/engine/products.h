// SPDX-License-Identifier: Apache-2.0
// A model's own products, each timed by every choice that the device's library lists.
#pragma once

#include <vector>

#include "kernels/matmul_choices.h"

namespace tl {

struct TimedProduct {
  MatmulMade made;
  std::vector<double> seconds;  // of each choice
  // Index of the fastest; the first where none is faster.
  size_t Best() const;
};

// Times every choice for about `seconds`, on operands of the products' shapes, strides and
// alignments that hold random numbers.
std::vector<TimedProduct> TimeProducts(Stream& stream, const std::vector<MatmulMade>& all,
                                       double seconds = 5e-3);

}  // namespace tl
