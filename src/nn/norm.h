// SPDX-License-Identifier: Apache-2.0
// RMSNorm with its weight; see kernels/norm.h for the formulas.
#pragma once

#include <string>

#include "nn/geometry.h"
#include "nn/step.h"

namespace tl {

class Norm {
 public:
  Norm(std::string name, int64_t size, double eps)
      : name_(std::move(name)), size_(size), eps_(eps) {}

  // rows x heads vectors (heads = 0: rows vectors). reduce: how its gradient is completed.
  void Declare(Plan& plan, int64_t rows, int64_t heads, TensorReduce reduce);

  void Forward(Step& step, Tensor y, Tensor x) const;
  // sum = x + residual, y = norm(sum).
  void Forward(Step& step, Tensor y, Tensor sum, Tensor x, Tensor residual) const;
  // dx = gradient at the norm's input x (+ d_sum); may alias d_sum.
  void Backward(Step& step, Tensor dx, Tensor dy, Tensor x, Tensor d_sum) const;

 private:
  std::string name_;
  int64_t size_;
  double eps_;
  ParamId weight_ = -1;
  SlotId rstd_ = -1;
};

}  // namespace tl
