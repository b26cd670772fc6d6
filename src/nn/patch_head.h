// SPDX-License-Identifier: Apache-2.0
// Reads values out of the residual stream of a conditioned trunk: F = W norm(stream) + b, fp32, with
// the final norm modulated by the row's sample. W and b are zero at the start.
#pragma once

#include "nn/linear.h"
#include "nn/norm.h"

namespace tl {

struct PatchHeadConfig {
  int64_t row_values = 0;
  int64_t hidden = 0;
  double norm_eps = 1e-5;
};

class PatchHead {
 public:
  PatchHead(const PatchHeadConfig& config, Geometry geometry);
  void Declare(Plan& plan);
  // fp32 [local rows, row_values].
  Tensor Forward(Step& step, const Residual& in, const Modulation& m);
  // From d_f, the gradient there in the compute type, to those at in's sum and at m, overwritten.
  void Backward(Step& step, Tensor d_in, Tensor d_f, const Modulation& m, const Modulation& d_m);

 private:
  PatchHeadConfig config_;
  Geometry geometry_;
  Norm norm_;
  Linear linear_;
  SlotId sum_ = -1, y_ = -1, f_ = -1, d_y_ = -1;
  Tensor sum_now_;  // the input of the norm, of the pass under way
};

}  // namespace tl
