// SPDX-License-Identifier: Apache-2.0
// Hidden states that a decoding pass leaves for later ones, beside keys and values: what draft
// heads start from. A row of them lies at its token's place in the K/V cache, as a layer of its
// own with one head of half the width: the first half is the key, the second the value. So states
// of accepted drafts move with their keys and values, and those of refused ones are overwritten.
#pragma once

#include "nn/step.h"

namespace tl {

class RowState {
 public:
  void Declare(Plan& plan, int64_t width);
  // x: [rows, width], of the pass's rows; compute type.
  void Store(Step& step, Tensor x) const;
  void Load(Step& step, Tensor x) const;

 private:
  int64_t width_ = 0, half_ = 0;
  int cache_ = -1;
};

}  // namespace tl
