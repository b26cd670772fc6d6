// SPDX-License-Identifier: Apache-2.0
// Plain language modelling: final norm, unembedding, cross-entropy of the next token.
#pragma once

#include "objective/descriptor.h"
#include "objective/readout.h"

namespace tl {

class NextToken : public Objective {
 public:
  static ObjectiveDescriptor Descriptor() {
    return {.name = "next_token", .make = Make<NextToken>};
  }
  NextToken(const ObjectiveConfig&, const ObjectiveContext& context)
      : Objective(context), readout_(context, "final_norm.weight"), meter_(context.geometry) {}
  std::vector<std::string> heads() const override { return OffsetNames(1); }
  double Weight(int, int64_t, int64_t) const override { return 1.0; }
  void Declare(Plan& plan) override {
    meter_.Declare(plan);
    readout_.Declare(plan);
  }
  void Run(Step& step, const Taps& taps) override {
    readout_.Run(step, meter_, 0, taps.out, taps.d_out);
  }
  void Logits(Step& step, const Taps& taps, int64_t row, Tensor logits) override {
    readout_.Logits(step, taps.out, row, logits);
  }
  int64_t local_vocab() const override { return readout_.local_vocab(); }

 private:
  Readout readout_;
  HeadMeter meter_;
};

}  // namespace tl
