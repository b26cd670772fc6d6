// SPDX-License-Identifier: Apache-2.0
#include "kernels/finish_gradients.h"

#include "kernels/cuda/common.h"

namespace tl::cuda {
namespace {

__global__ void FinishGradientsKernel(StepScalars* s, const float* sums, float clip) {
  const float norm = sums[1] > 0.0f ? __uint_as_float(0x7fc00000u) : sqrtf(sums[0]) / s->loss_scale;
  s->grad_norm = norm;
  s->skip = !(norm - norm == 0.0f);
  s->grad_factor = (clip > 0.0f ? fminf(1.0f, clip / (norm + 1e-6f)) : 1.0f) / s->loss_scale;
}

}  // namespace

void FinishGradients(Stream& stream, const FinishGradientsArgs& args) {
  Launch(FinishGradientsKernel, 1, 1, 0, stream, args.scalars, args.sums.as<float>(), args.clip);
}

}  // namespace tl::cuda
