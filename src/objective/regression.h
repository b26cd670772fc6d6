// SPDX-License-Identifier: Apache-2.0
// Regresses rows of values on rows of values: the mean square of what the model gives against
// Inputs::value_targets, by sample. What the values are, and what is a target, derived objectives
// say in Prepare.
#pragma once

#include "nn/patch_head.h"
#include "objective/objective.h"

namespace tl {

// A range of samples, see HostBatch::range: its mean loss, and how many samples are in it.
extern const std::array<MeasureKind, 4> kRangeLosses;

class Regression : public Objective {
 public:
  Regression(const ObjectiveContext& context, const std::string& head);

  std::unique_ptr<Stem> MakeStem() const override;
  std::vector<std::string> heads() const override { return {head_name_}; }
  int lookahead() const override { return 0; }
  int64_t row_values() const override {
    return context_.shape[0] * context_.patch * context_.patch;
  }
  double Weight(int, int64_t, int64_t) const override { return 1.0; }
  // Samples whose loss counts.
  int64_t Count(const HostBatch& batch, int head) const override;
  HeadResult Result(int head, const std::array<double, kHeadSums>& sums) const override;

  void Declare(Plan& plan) override;
  void Run(Step& step, const Taps& taps) override;
  Tensor Predict(Step& step, const Taps& taps) override {
    return head_.Forward(step, taps.out, taps.final_norm);
  }
  void PredictBackward(Step& step, const Taps& taps, Tensor d) override {
    head_.Backward(step, taps.d_out, d, taps.final_norm, taps.d_final_norm);
  }

 private:
  std::string head_name_;
  PatchHead head_;
  SlotId losses_ = -1, d_f_ = -1;
};

}  // namespace tl
