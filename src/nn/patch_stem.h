// SPDX-License-Identifier: Apache-2.0
// A stem of values: each row of the stream is a linear map of a row of Inputs::values, as a patch of
// a picture (Dosovitskiy et al. 2020), with dropout.
#pragma once

#include "nn/linear.h"
#include "nn/stem.h"

namespace tl {

struct PatchStemConfig {
  int64_t row_values = 0;
  int64_t hidden = 0;
  double init_std = 0.02;
  DropoutConfig dropout = {};
};

class PatchStem : public Stem {
 public:
  PatchStem(const PatchStemConfig& config, Geometry geometry)
      : config_(config),
        geometry_(geometry),
        dropout_("patches.dropout", config.dropout, geometry) {}
  void Declare(Plan& plan) override;
  void Forward(Step& step, Tensor x) override;
  void Backward(Step& step, Tensor dx) override;
  Tensor input_gradient(Step& step) const override { return step.Slot(d_values_); }

 private:
  PatchStemConfig config_;
  Geometry geometry_;
  Linear linear_;
  HiddenDropout dropout_;
  SlotId d_values_ = -1;  // where the backward pass goes on to the inputs
};

}  // namespace tl
