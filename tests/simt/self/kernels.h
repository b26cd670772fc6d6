#pragma once

#include "kernels/cuda/ptx.h"

namespace tl::cuda {

void LaunchBlockSum(Stream& stream, const float* x, float* sum, bool barrier);
void LaunchReverse(Stream& stream, float* x, bool barrier);

}  // namespace tl::cuda
