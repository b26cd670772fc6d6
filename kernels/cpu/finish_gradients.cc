// SPDX-License-Identifier: Apache-2.0
#include "kernels/finish_gradients.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace tl::cpu {

void FinishGradients(Stream&, const FinishGradientsArgs& args) {
  StepScalars& s = *args.scalars;
  const float* sums = args.sums.as<float>();
  s.grad_norm =
      sums[1] > 0.0f ? std::numeric_limits<float>::quiet_NaN() : std::sqrt(sums[0]) / s.loss_scale;
  s.skip = !std::isfinite(s.grad_norm);
  const float clip = args.clip > 0.0f ? std::min(1.0f, args.clip / (s.grad_norm + 1e-6f)) : 1.0f;
  s.grad_factor = clip / s.loss_scale;
}

}  // namespace tl::cpu
