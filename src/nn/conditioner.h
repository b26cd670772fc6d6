// SPDX-License-Identifier: Apache-2.0
// Conditions a model on its samples: makes shift, scale and gate of every norm and branch out of a
// sample's features (of its noise level) and class, as DiT does (Peebles and Xie 2023):
//   e = silu(W1 f + b1);  c = W2 e + b2 + E[class];  s = silu(c);  M_i = A_i s
// f: [batch, kFeatures]. A_i, [6 hidden, hidden] of a block and [2 hidden, hidden] of the final norm,
// is zero at the start: branches are shut, norms are plain. The columns of c are divided over the
// tensor group (W2 and E make this rank's, A_i takes them), W1 is on every rank: one sum over the
// group makes all M_i whole. Where ranks have rows of their own, each has a part of the gradient of
// M_i, and the parts are summed first.
#pragma once

#include <string>
#include <vector>

#include "nn/geometry.h"
#include "nn/linear.h"
#include "nn/modulation.h"
#include "nn/step.h"

namespace tl {

struct ConditionerConfig {
  int64_t layers = 0;
  int64_t hidden = 0;
  int64_t classes = 0;
  double init_std = 0.02;
};

class Conditioner {
 public:
  Conditioner(const ConditionerConfig& config, Geometry geometry);
  // Called before the blocks.
  void Declare(Plan& plan);
  // Called before and after block i: its weight lies beside the block's, so that its gradient is
  // complete soon after the block's.
  void DeclareBlock(Plan& plan, int64_t i);
  void EndBlock(Plan& plan, int64_t i);
  // Called after the blocks.
  void DeclareFinal(Plan& plan);

  // Makes what the calls below return.
  void Forward(Step& step);
  BlockModulation block(Step& step, int64_t i) const;
  Modulation final_norm(Step& step) const;

  // Where the gradients go: all of them are to be written, before the calls that follow. Null in
  // passes that do not learn: what conditions is none of the inputs that these differentiate by.
  BlockModulation d_block(Step& step, int64_t i) const;
  Modulation d_final_norm(Step& step) const;
  // From the gradients there, in the order of the backward pass.
  void BackwardFinal(Step& step);
  void BackwardBlock(Step& step, int64_t i);
  // After all blocks.
  void Backward(Step& step);

 private:
  // A layer that makes `parts` x hidden numbers of a sample: their place in the slot of all, its
  // weight, and its gradients.
  struct Layer {
    int64_t parts = 0;
    int64_t offset = 0;  // elements of modulation_ before it
    ParamId weight = -1;
    SlotId d = -1, d_rounded = -1;
  };
  void DeclareLayer(Plan& plan, const std::string& name, Layer* layer);
  double RowsPerToken() const;                      // of what has a row for each sample
  Tensor Of(Step& step, const Layer& layer) const;  // fp32 [batch, parts x hidden]
  // Views of such a tensor, [batch, hidden] each: a part, shift and scale from a part on, all.
  Tensor Part(Tensor layer, int64_t part) const;
  Modulation NormOf(Tensor layer, int64_t part) const;
  BlockModulation BlockOf(Tensor layer) const;
  // first: of the backward pass; else the gradient at s is added to.
  void BackwardLayer(Step& step, const Layer& layer, bool first);

  ConditionerConfig config_;
  Geometry geometry_;
  int64_t columns_;  // of c on this rank
  Linear in_linear_, out_linear_;
  ParamId labels_ = -1;
  SlotId in_ = -1, e_ = -1, c_ = -1, label_rows_ = -1, s_ = -1, modulation_ = -1;
  SlotId d_s_ = -1, d_c_ = -1, d_e_ = -1, d_in_ = -1;  // d_s_, d_e_: fp32, sums
  std::vector<Layer> layers_;                          // of the blocks, and of the final norm
};

}  // namespace tl
