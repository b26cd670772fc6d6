// SPDX-License-Identifier: Apache-2.0
#include "nn/dropout.h"

#include "kernels/dropout.h"

namespace tl {

void HiddenDropout::Apply(Step& step, Tensor y, Tensor x) const {
  const auto& g = geometry_;
  int64_t first_row = step.training()->first_sample * g.sequence_length;
  if (g.split_rows()) first_row += step.tensor_group().rank() * g.local_rows();
  Dropout(step.stream(),
          {.y = y, .x = x, .rate = config_.rate, .key = key_, .first_row = first_row});
}

}  // namespace tl
