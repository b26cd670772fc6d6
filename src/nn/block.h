// SPDX-License-Identifier: Apache-2.0
// One transformer block, pre-norm. The residual stream travels as a pair (h, delta) whose sum it
// is, so that each addition is fused into the norm that follows:
//   h1 = h + delta;  a = attention(norm1(h1));  h2 = h1 + a;  m = mlp(norm2(h2));  -> (h2, m),
// a and m with dropout where it is asked for. In a conditioned block both norms are modulated by the
// row's sample, and a and m are added through its gates: -> (h2, m, gate).
#pragma once

#include <string>

#include "config/train.h"
#include "nn/attention.h"
#include "nn/dropout.h"
#include "nn/mlp.h"
#include "nn/norm.h"

namespace tl {

struct BlockConfig {
  std::string name;  // "layers.0"
  AttentionConfig attention;
  MlpConfig mlp;
  double norm_eps = 1e-5;
  Recompute recompute = Recompute::kNone;
  DropoutConfig dropout = {};  // of a and m
  bool conditioned = false;
};

class Block {
 public:
  Block(const BlockConfig& config, Geometry geometry);
  // stream_h, stream_delta: slots shared by all blocks for the stream between them, [local rows,
  // hidden]; stream_h < 0: the block keeps its own until its backward pass. has_delta: whether the
  // block's input has one. tapped: input() is read after the last block too; a block that has a
  // backward pass keeps it anyhow.
  void Declare(Plan& plan, SlotId stream_h, SlotId stream_delta, bool has_delta,
               bool tapped = false);
  // in.h without a delta must be kept until this block's backward pass. m: of a conditioned block.
  Residual Forward(Step& step, Residual in, Tensor rope, const BlockModulation& m = {});
  Tensor input() const { return h1_now_; }  // its sum, after Forward
  // d_stream: the gradient at the output's sum, replaced by that at the input's. d: receives those
  // at m.
  void Backward(Step& step, Tensor d_stream, Tensor rope, const BlockModulation& m = {},
                const BlockModulation& d = {});

 private:
  // From y1 = norm1(h1) on.
  Residual Body(Step& step, Tensor y1, Tensor rope, const BlockModulation& m);
  // From the gradient at a sum to that at the branch which was added to it, through its gate where
  // there is one: in dy, or d_stream itself.
  Tensor BranchGradient(Step& step, Tensor d_stream, SlotId branch, const Modulation& m,
                        const Modulation& d) const;

  BlockConfig config_;
  Geometry geometry_;
  Norm norm1_, norm2_;
  SelfAttention attention_;
  Mlp mlp_;
  HiddenDropout attention_dropout_, mlp_dropout_;
  SlotId a_ = -1, m_ = -1;  // of what the branches add: gates' gradients read it
  SlotId h1_ = -1, y1_ = -1, h2_ = -1, y2_ = -1;
  SlotId y_again_ = -1, dy_ = -1;
  Tensor h1_now_;  // the input's sum, of the pass under way
};

}  // namespace tl
