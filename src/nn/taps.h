// SPDX-License-Identifier: Apache-2.0
// Where an objective taps the trunk: what it reads there, and where it leaves gradients.
#pragma once

#include <vector>

#include "nn/block.h"

namespace tl {

// Asks for the residual stream that enters a block.
struct TapSpec {
  int64_t block = 0;      // 0: what the stem makes
  bool gradient = false;  // the objective sends one there
};

struct Tap {
  // [local rows, hidden]; null: the pass, of a part of the blocks, did not come there.
  Tensor x = {};
  // The same: receives the gradient at x. Null where none is sent.
  Tensor d = {};
};

// What the trunk hands an objective. Where the trunk is trained, the stream is valid until the
// trunk's backward pass has come by. A frozen trunk's is valid in the objective's forward pass
// alone: what its backward pass reads of it, the objective keeps in slots of its own. Gradients are
// wanted in passes that go backward through the trunk; they are null in others. An objective writes
// all of them, after its own forward pass: their memory may be that of what lives in forward passes
// alone. What follows the final norm is the objective's own, see Readout.
struct Taps {
  Residual out = {};             // the stream after the last block, with the gate of what it adds
  Tensor d_out = {};             // [local rows, hidden]: receives the gradient at its sum
  std::vector<Tap> inputs = {};  // of blocks, in the order of the specs
  Tensor rope = {};              // see SelfAttention
  // Of a conditioned trunk: of the final norm, without a gate, and where the gradients there go.
  Modulation final_norm = {}, d_final_norm = {};
};

}  // namespace tl
