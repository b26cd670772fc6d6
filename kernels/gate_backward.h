// SPDX-License-Identifier: Apache-2.0
// The backward pass of the gated residual addition of kernels/modulated_norm.h.
#pragma once

#include "kernels/dispatch.h"
#include "kernels/sample_rows.h"

namespace tl {

// From d, the gradient of h = x + gate_b residual:  d_residual_j = gate_bj d_j, b the row's sample;
// d_gate_bj = sum over the sample's rows of d_j residual_j. (That of x is d itself.)
// d, residual, d_residual: [rows, H] of one type; d_residual may alias either. gate, d_gate: fp32
// [B, H], rows may lie apart; d_gate is overwritten, 0 for samples without rows here; null: not
// computed, and residual may be null then. A sample's sum is added in an order that depends on
// which rows of it are here, and on nothing else.
struct GateBackwardArgs {
  Tensor d_residual;
  Tensor d_gate = {};
  Tensor d;
  Tensor residual = {};
  Tensor gate;
  SampleRows samples;
};
TL_DECLARE_OP(GateBackward);

}  // namespace tl
