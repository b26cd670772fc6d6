// SPDX-License-Identifier: Apache-2.0
// The activation of a residual SiLU layer, y = x + silu(a) with a = W x + b, and SiLU alone.
#pragma once

#include "kernels/dispatch.h"

namespace tl {

// y[i] = x[i] + silu(a[i]), silu(a) = a / (1 + exp(-a)); x null: 0. y may alias x or a. All of one
// shape and type, contiguous.
struct ResidualSiluArgs {
  Tensor y;
  Tensor x = {};
  Tensor a;
};
TL_DECLARE_OP(ResidualSilu);

// d_a[i] = dy[i] (s + a s (1 - s)), s = sigmoid(a[i]), with x and without. d_a may alias a or dy.
struct ResidualSiluBackwardArgs {
  Tensor d_a;
  Tensor dy;
  Tensor a;
};
TL_DECLARE_OP(ResidualSiluBackward);

}  // namespace tl
