// SPDX-License-Identifier: Apache-2.0
// Independent heads (Gloeckle et al. 2024): each head is one block on the trunk's output, then the
// final norm and the unembedding that all share,
//   loss = sum_i w_i CE_i,  CE_i the mean over the targets that head i has at offset i.
// Heads run one after the other, forward and backward, so that their activations and logits share
// memory; the trunk's gradient adds up over them. Head 1 is the main head: trunk and head 1
// together are a model with one more layer.
//
// Decoding: the main head runs with the trunk; the others draft from the trunk's output, which is
// left in the cache, and have keys and values of their own.
#pragma once

#include <vector>

#include "nn/row_state.h"
#include "objective/descriptor.h"
#include "objective/readout.h"

namespace tl {

enum class Curriculum : uint8_t { kNone, kForward, kReverse };
const char* Name(Curriculum curriculum);

struct IndependentHeadsSettings {
  int64_t heads = 0;            // with the main one
  std::vector<double> weights;  // of each head's loss; empty: all 1
  bool match_parameters = false;
  Curriculum curriculum = Curriculum::kNone;
  int64_t curriculum_steps = 0;  // 0: [train] steps

  static const ObjectiveKeys<IndependentHeadsSettings>& Keys();
};

class IndependentHeads : public Objective {
 public:
  static ObjectiveDescriptor Descriptor();
  IndependentHeads(const ObjectiveConfig& config, const ObjectiveContext& context);
  std::vector<std::string> heads() const override { return OffsetNames(config_.heads); }
  double Weight(int head, int64_t step, int64_t steps) const override;
  void Declare(Plan& plan) override;
  void Run(Step& step, const Taps& taps) override;
  void Logits(Step& step, const Taps& taps, int64_t row, Tensor logits) override;
  int64_t local_vocab() const override { return heads_[0].readout.local_vocab(); }
  int draft_heads() const override { return static_cast<int>(heads_.size()) - 1; }
  void DraftLogits(Step& step, int k, const Taps& taps, int64_t row, Tensor logits) override;

 private:
  struct Head {
    Block block;
    Readout readout;
    SlotId h = -1, delta = -1, d = -1;
    std::vector<ParamId> gradients;  // its uses of parameters
  };

  IndependentHeadsSettings config_;
  HeadMeter meter_;
  std::vector<Head> heads_;
  SlotId d_sum_ = -1;
  RowState state_;  // decoding: the trunk's output
  SlotId tap_ = -1;
};

}  // namespace tl
