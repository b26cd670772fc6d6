// SPDX-License-Identifier: Apache-2.0
// y = x W^T (+ b) with this rank's shard of W. The collectives that make it column- or row-parallel
// stand in the layer that uses it.
#pragma once

#include <string>
#include <vector>

#include "nn/step.h"

namespace tl {

// y = x w^T (+ bias); when decoding, every row by itself.
void Product(Step& step, Tensor y, Tensor x, Tensor w, Tensor bias = {});

class Linear {
 public:
  // weight: parts of shape [out, in] stacked by rows; bias, where has_bias: parts of shape [out].
  void Declare(Plan& plan, const ParamSpec& weight, Plan::ProductInput x = {});
  void Declare(Plan& plan, const ParamSpec& weight, const ParamSpec& bias,
               Plan::ProductInput x = {});

  void Forward(Step& step, Tensor y, Tensor x) const;
  // dx = dy W, overwritten, null: not computed; W and b's gradients are added to, in a pass that
  // learns.
  void Backward(Step& step, Tensor dx, Tensor dy, Tensor x) const;

 private:
  ParamId weight_ = -1;
  ParamId bias_ = -1;
};

}  // namespace tl
