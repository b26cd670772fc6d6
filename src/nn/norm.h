// SPDX-License-Identifier: Apache-2.0
// RMSNorm with a weight, or with the shift and scale of the row's sample; see kernels/norm.h and
// kernels/modulated_norm.h for the formulas.
#pragma once

#include <string>

#include "nn/geometry.h"
#include "nn/modulation.h"
#include "nn/step.h"

namespace tl {

// The residual stream: h + gate delta, by the row's sample. delta null: h alone; gate null: 1.
struct Residual {
  Tensor h;
  Tensor delta;
  Tensor gate = {};  // fp32 [batch, hidden]
};

enum class NormKind : uint8_t {
  kWeighted,  // by a parameter
  kModulated  // by the row's sample, of rows of the residual stream
};

class Norm {
 public:
  Norm(std::string name, int64_t size, double eps, NormKind kind = NormKind::kWeighted,
       Geometry geometry = {})
      : name_(std::move(name)), size_(size), eps_(eps), kind_(kind), geometry_(geometry) {}

  // rows x heads vectors (heads = 0: rows vectors). reduce: how its gradient is completed.
  void Declare(Plan& plan, int64_t rows, int64_t heads, TensorReduce reduce);

  void Forward(Step& step, Tensor y, Tensor x) const;
  // sum = x + residual, y = norm(sum).
  void Forward(Step& step, Tensor y, Tensor sum, Tensor x, Tensor residual) const;
  // dx = gradient at the norm's input x (+ d_sum); may alias d_sum.
  void Backward(Step& step, Tensor dx, Tensor dy, Tensor x, Tensor d_sum) const;

  // Of either kind; m, d: of a modulated one, without their gates. sum: receives in's, which is
  // in.h itself where there is no delta; returned.
  Tensor Forward(Step& step, Tensor y, Tensor sum, const Residual& in, const Modulation& m) const;
  void Backward(Step& step, Tensor dx, Tensor dy, Tensor x, Tensor d_sum, const Modulation& m,
                const Modulation& d) const;

 private:
  std::string name_;
  int64_t size_;
  double eps_;
  NormKind kind_;
  Geometry geometry_;  // of a modulated one
  ParamId weight_ = -1;
  SlotId rstd_ = -1;
};

}  // namespace tl
