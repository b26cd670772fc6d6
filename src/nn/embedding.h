// SPDX-License-Identifier: Apache-2.0
// Token embedding with its vocabulary divided over the tensor group.
#pragma once

#include <string>

#include "nn/whole_rows.h"

namespace tl {

// The [vocab, hidden] matrix of an embedding or an unembedding; tied ones share a name.
ParamSpec VocabularySpec(const std::string& name, int64_t vocab, int64_t hidden, double init_std);

class TokenEmbedding {
 public:
  TokenEmbedding(ParamSpec spec, Geometry geometry, Plan::Use use = Plan::Use::kTrain)
      : spec_(std::move(spec)), geometry_(geometry), use_(use) {}
  void Declare(Plan& plan);
  // y, dy: [local rows, hidden]; tokens: int32 [rows], those outside the vocabulary give zeros;
  // null: Inputs::tokens.
  void Forward(Step& step, Tensor y, Tensor tokens = {});
  void Backward(Step& step, Tensor dy, Tensor tokens = {});

 private:
  ParamSpec spec_;
  Geometry geometry_;
  Plan::Use use_;
  ParamId weight_ = -1;
  int64_t begin_ = 0;
  WholeRows y_full_, dy_full_;
};

}  // namespace tl
