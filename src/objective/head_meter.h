// SPDX-License-Identifier: Apache-2.0
// A head's loss with the counts that go beside it. Heads of one pass come by ascending offset; head
// i (from 0, the main head) predicts the token at offset i + 1.
#pragma once

#include "nn/lm_loss.h"

namespace tl {

class HeadMeter {
 public:
  explicit HeadMeter(Geometry geometry) : geometry_(geometry) {}
  // Within the scope in which the heads run.
  void Declare(Plan& plan);
  // y, d_y: see LmLossArgs. teacher_y, where the main head is to teach this one: what it reads out.
  // Adds to Step::head_sums.
  void Run(Step& step, LmLoss& loss, int head, Tensor y, Tensor d_y, Tensor teacher_y = {});

 private:
  Geometry geometry_;
  SlotId losses_ = -1, greedy_ = -1, main_ = -1, rank_ = -1, alive_ = -1;
};

}  // namespace tl
