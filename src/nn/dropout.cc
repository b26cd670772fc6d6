#include "nn/dropout.h"

#include "kernels/dropout.h"

namespace tl {

Tensor HiddenDropout::Backward(Step& step, Tensor dx, Tensor dy) const {
  if (!trains_ || config_.rate == 0.0 || step.pass().first_sample < 0) return dy;
  const auto& g = geometry_;
  int64_t first_row = step.pass().first_sample * g.sequence_length;
  if (g.split_rows()) first_row += step.tensor_group().rank() * g.local_rows();
  Dropout(step.stream(),
          {.y = dx, .x = dy, .rate = config_.rate, .key = key_, .first_row = first_row});
  return dx;
}

}  // namespace tl
