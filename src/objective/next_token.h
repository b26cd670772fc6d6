// Plain language modelling: final norm, unembedding, cross-entropy of the next token.
#pragma once

#include "nn/norm.h"
#include "objective/head_meter.h"
#include "objective/objective.h"

namespace tl {

class NextToken : public Objective {
 public:
  explicit NextToken(const ObjectiveContext& context);
  std::vector<std::string> heads() const override { return {"next_token"}; }
  double Weight(int, int64_t, int64_t) const override { return 1.0; }
  void Declare(Plan& plan) override;
  void Run(Step& step, Residual trunk_out, Tensor d_stream) override;
  void Logits(Step& step, Residual trunk_out, int64_t row, Tensor logits) override;
  int64_t local_vocab() const override { return loss_.local_vocab(); }

 private:
  // y = norm(h + delta); returns the sum.
  Tensor FinalNorm(Step& step, Residual trunk_out, Tensor y);

  ObjectiveContext context_;
  Norm norm_;
  LmLoss loss_;
  HeadMeter meter_;
  SlotId sum_ = -1, y_ = -1, d_y_ = -1;
};

}  // namespace tl
