// SPDX-License-Identifier: Apache-2.0
// Sequential multi-token prediction (DeepSeek-V3 2024): module k = 1..D extends the prediction by
// one token, from the state before it and the embedding of the token it may look at,
//   u_k = M_k [norm(h_{k-1}) ; norm(emb(x_{t+k}))],  h_k = norm(block_k(u_k)),
// h_0 the trunk's state after its final norm (or its stream), embedding and unembedding shared with
// the trunk,
//   loss = CE_0 + lambda / D sum_k CE_k,
// lambda that of the step. Where x_{t+k} is not of the document its embedding is zero; so is, in
// module 1, that of position 0, as inference engines have it. share_weights unrolls one module.
// freeze_trunk leaves out CE_0; everything but the modules keeps its bits.
#pragma once

#include "nn/embedding.h"
#include "nn/linear.h"
#include "nn/row_state.h"
#include "objective/descriptor.h"
#include "objective/readout.h"

namespace tl {

enum class HiddenTap : uint8_t { kFinalNorm, kStream };
const char* Name(HiddenTap hidden);

struct SequentialMtpSettings {
  int64_t depth = 0;  // modules
  bool share_weights = false;
  HiddenTap hidden = HiddenTap::kFinalNorm;
  bool detach_hidden = false;
  bool detach_shared = false;
  double lambda = 0.3;
  double lambda_late = 0.1;
  double late_after = 0.67;  // fraction of the steps
  bool freeze_trunk = false;

  static const ObjectiveKeys<SequentialMtpSettings>& Keys();
};

class SequentialMtp : public Objective {
 public:
  static ObjectiveDescriptor Descriptor();
  SequentialMtp(const ObjectiveConfig& config, const ObjectiveContext& context);
  std::vector<std::string> heads() const override { return OffsetNames(config_.depth + 1); }
  bool freezes_trunk() const override { return config_.freeze_trunk; }
  double Weight(int head, int64_t step, int64_t steps) const override;
  void Declare(Plan& plan) override;
  void Run(Step& step, const Taps& taps) override;
  void Logits(Step& step, const Taps& taps, int64_t row, Tensor logits) override;
  int64_t local_vocab() const override { return main_.local_vocab(); }
  int draft_heads() const override { return static_cast<int>(modules_.size()); }
  void DraftLogits(Step& step, int k, const Taps& taps, int64_t row, Tensor logits) override;

 private:
  struct Module {
    std::string name;
    Norm hidden_norm, embedding_norm;
    TokenEmbedding embedding;
    Linear projection;
    Block block;
    Readout readout;
    SlotId embedded = -1, joined = -1, input = -1, h = -1, delta = -1;
    SlotId d = -1, d_joined = -1, d_embedded = -1;
    Tensor hidden;  // its input, of the pass under way
  };
  Module MakeModule(int k) const;
  void DeclareModule(Plan& plan, Module& module, int head);
  Tensor Tokens(Step& step, int k) const;
  // From h_{k-1} to h_k.
  Tensor Forward(Step& step, int k, Tensor hidden, Tensor rope);
  // From the gradient at h_k; adds to d_hidden, unless it is null.
  void Backward(Step& step, int k, Tensor d_y, Tensor d_hidden, Tensor rope);

  SequentialMtpSettings config_;
  HeadMeter meter_;
  Readout main_;
  std::vector<Module> modules_;
  SlotId tap_ = -1, d_tap_ = -1;  // of module 1: a frozen trunk's state, else its gradient
  // Decoding: states_[k - 1] is h_{k-1}, from which module k starts.
  std::vector<RowState> states_;
  SlotId loaded_ = -1;
};

}  // namespace tl
