// SPDX-License-Identifier: Apache-2.0
// Rotary position embedding (Su et al. 2021), half-split layout as in Llama checkpoints of the Hub.
#pragma once

#include "kernels/dispatch.h"

namespace tl {

enum class RopeDirection : uint8_t { kForward, kInverse };

// In place, for every row n, head h and j < D/2, with (c, s) = table[positions[n]][:, j]:
//   x_j     <- x_j c - x_{j+D/2} s
//   x_{j+D/2} <- x_{j+D/2} c + x_j s
// kInverse uses -s, which is the backward pass. x: [rows, heads, D] with strides. positions: int32
// [rows]. table: fp32 [max positions, 2, D/2], cosines then sines. Computed in fp32.
// A position that is not in the table ends the program on CPUs and gives NaN on GPUs.
struct RopeArgs {
  Tensor x;
  Tensor positions;
  Tensor table;
  RopeDirection direction = RopeDirection::kForward;
};
TL_DECLARE_OP(Rope);

}  // namespace tl
