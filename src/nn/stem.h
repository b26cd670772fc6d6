// SPDX-License-Identifier: Apache-2.0
// What makes the residual stream from the inputs of a pass.
#pragma once

#include "nn/dropout.h"
#include "nn/embedding.h"

namespace tl {

class Stem {
 public:
  virtual ~Stem() = default;
  // Called before the trunk's.
  virtual void Declare(Plan& plan) = 0;
  // x: [local rows, hidden], what enters the first block.
  virtual void Forward(Step& step, Tensor x) = 0;
  // dx: the gradient at x, which may be overwritten.
  virtual void Backward(Step& step, Tensor dx) = 0;
  // After it, of a stem of values that was declared for Plan::Purpose::kInputGradient: the gradient
  // at Inputs::values, of their shape.
  virtual Tensor input_gradient(Step&) const {
    TL_CHECK(false) << "this stem's inputs have no gradient";
    return {};
  }
};

// The embeddings of Inputs::tokens, with dropout.
class TokenStem : public Stem {
 public:
  TokenStem(const ParamSpec& embedding, DropoutConfig dropout, Geometry geometry)
      : embedding_(embedding, geometry), dropout_("embedding.dropout", dropout, geometry) {}
  void Declare(Plan& plan) override {
    embedding_.Declare(plan);
    dropout_.Declare(plan);
  }
  void Forward(Step& step, Tensor x) override {
    embedding_.Forward(step, x);
    dropout_.Forward(step, x);
  }
  void Backward(Step& step, Tensor dx) override {
    embedding_.Backward(step, dropout_.Backward(step, dx, dx));
  }

 private:
  TokenEmbedding embedding_;
  HiddenDropout dropout_;
};

}  // namespace tl
