// SPDX-License-Identifier: Apache-2.0
// What conditions norms and branches on the samples that rows belong to (adaLN-Zero of DiT, Peebles
// and Xie 2023).
#pragma once

#include "kernels/sample_rows.h"
#include "nn/geometry.h"
#include "nn/step.h"

namespace tl {

// Of a norm and the branch that it opens: fp32 [batch, hidden] each, whose rows may lie apart; or
// the gradients there. All null: not conditioned.
struct Modulation {
  Tensor shift = {}, scale = {};  // y = norm(h) (1 + scale) + shift
  Tensor gate = {};               // of the branch where it is added to the stream
};

// Of a block.
struct BlockModulation {
  Modulation attention = {}, mlp = {};
};

// Which samples this rank's rows of the residual stream belong to.
inline SampleRows SamplesOf(Step& step, const Geometry& geometry) {
  const int64_t first =
      geometry.split_rows() ? step.tensor_group().rank() * geometry.local_rows() : 0;
  return {.rows_per_sample = geometry.sequence_length, .first_row = first};
}

}  // namespace tl
