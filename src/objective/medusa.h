// SPDX-License-Identifier: Apache-2.0
// Medusa heads (Cai et al. 2024): head k, which predicts the token k + 1 after each input, is a
// stack of residual layers y <- y + silu(W y + b) on the trunk's state after its final norm, and an
// unembedding of its own that starts as a copy of the trunk's (or the trunk's). W and b start as
// zeros, so that training starts from the trunk's own prediction.
//   stage 1, freeze_trunk: loss = sum_k decay^k CE_k; everything but the heads keeps its bits;
//   stage 2: loss = CE + head_weight min(1, step / warmup) sum_k decay^k CE_k.
// distill: instead of CE_k, KL(q || p_k), q the trunk's own distribution of the same token, which
// it gives k positions later and which has no gradient. Where the trunk is frozen that is
// self-distillation: the heads learn to draft what the trunk will say, not what the text does.
//
// Decoding: the trunk's state is left in the cache, and heads draft from it.
#pragma once

#include "nn/linear.h"
#include "nn/row_state.h"
#include "objective/descriptor.h"
#include "objective/readout.h"

namespace tl {

struct MedusaSettings {
  int64_t heads = 0;          // beside the main one
  bool freeze_trunk = false;  // stage 1
  int64_t residual_layers = 1;
  bool own_unembedding = true;
  bool distill = false;
  double head_weight = 0.2;  // of the heads' losses together, stage 2; stage 1: 1
  double decay = 0.8;
  double lr_scale = 1.0;  // of the heads
  int64_t warmup_steps = 0;

  static const ObjectiveKeys<MedusaSettings>& Keys();
};

class Medusa : public Objective {
 public:
  static ObjectiveDescriptor Descriptor();
  Medusa(const ObjectiveConfig& config, const ObjectiveContext& context);
  std::vector<std::string> heads() const override { return OffsetNames(config_.heads + 1); }
  bool freezes_trunk() const override { return config_.freeze_trunk; }
  double Weight(int head, int64_t step, int64_t steps) const override;
  bool Distills(int head) const override { return config_.distill && head > 0; }
  void Declare(Plan& plan) override;
  void Run(Step& step, const Taps& taps) override;
  void Logits(Step& step, const Taps& taps, int64_t row, Tensor logits) override;
  int64_t local_vocab() const override { return main_.local_vocab(); }
  int draft_heads() const override { return static_cast<int>(heads_.size()); }
  void DraftLogits(Step& step, int k, const Taps& taps, int64_t row, Tensor logits) override;

 private:
  struct Layer {
    Linear linear;
    SlotId a = -1, y = -1, d_a = -1;
  };
  struct Head {
    std::string name;
    std::vector<Layer> layers;
    LmLoss loss;
    SlotId d_y = -1, d_x = -1;
  };
  void DeclareHead(Plan& plan, Head& head);
  // The head's layers on y.
  Tensor Layers(Step& step, Head& head, Tensor y);
  // Forward, loss, backward of head k = 1, 2, ... on y; its gradient at y is added to d_y, or left
  // out where d_y is null.
  void RunHead(Step& step, int k, Tensor y, Tensor d_y);

  MedusaSettings config_;
  HeadMeter meter_;
  Readout main_;
  std::vector<Head> heads_;
  RowState state_;  // decoding
  SlotId loaded_ = -1;
};

}  // namespace tl
