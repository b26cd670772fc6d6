// SPDX-License-Identifier: Apache-2.0
// SwiGLU (Shazeer 2020) on a fused gate|up product.
#pragma once

#include "kernels/dispatch.h"

namespace tl {

// y[n, f] = silu(g) u, g = gate_up[n, f], u = gate_up[n, F + f], silu(g) = g / (1 + exp(-g)).
struct SwigluArgs {
  Tensor y;        // [N, F]
  Tensor gate_up;  // [N, 2F]
};
TL_DECLARE_OP(Swiglu);

// d_gate = dy u (s + g s (1 - s)), d_up = dy silu(g), s = sigmoid(g). d_gate_up may alias gate_up.
struct SwigluBackwardArgs {
  Tensor d_gate_up;  // [N, 2F]
  Tensor dy;         // [N, F]
  Tensor gate_up;    // [N, 2F]
};
TL_DECLARE_OP(SwigluBackward);

}  // namespace tl
