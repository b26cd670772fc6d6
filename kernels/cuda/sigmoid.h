// SPDX-License-Identifier: Apache-2.0
// The logistic function.
#pragma once

namespace tl::cuda {

__device__ inline float Sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

}  // namespace tl::cuda
