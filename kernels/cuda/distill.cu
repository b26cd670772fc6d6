// SPDX-License-Identifier: Apache-2.0
#include "kernels/distill.h"

#include "kernels/cuda/common.h"

namespace tl::cuda {
namespace {

constexpr int kThreads = 512;

// One block for each row; what a thread writes lies where it has read itself.
template <typename T, int N>
__global__ void __launch_bounds__(kThreads)
    DistillKernel(Rows<T> d_logits, float* losses, Rows<float> logits, const float* lses,
                  Rows<float> teachers, const float* teacher_lses, const int32_t* targets,
                  const float* grad_scale, float z_loss, int64_t begin, int64_t valid,
                  int64_t width) {
  __shared__ float warps[kThreads / kWarp];
  const int64_t n = blockIdx.x;
  const float* z = logits[n];
  const float* t = teachers[n];
  T* dz = d_logits[n];
  const bool masked = targets[n] < 0;
  const int64_t last = masked ? 0 : valid;
  const float lse = lses[n], teacher_lse = masked ? 0.0f : teacher_lses[n], scale = *grad_scale;
  const float factor = scale * fmaf(2.0f * z_loss, lse, 1.0f);
  float sum = 0.0f;
  for (int64_t i = int64_t{threadIdx.x} * N; i < width; i += int64_t{kThreads} * N) {
    Pack<float, N> a, b;
    // The width is a multiple of N, so a vector that starts in the valid columns is in the row.
    if (i < last) {
      a = LoadPack<N>(z + i);
      b = LoadPack<N>(t + i);
    }
#pragma unroll
    for (int k = 0; k < N; ++k) {
      const bool in = i + k < last;
      const float log_p = in ? a.v[k] - lse : 0.0f, log_q = in ? b.v[k] - teacher_lse : 0.0f;
      const float q = in ? expf(log_q) : 0.0f;
      sum = fmaf(q, log_q - log_p, sum);
      a.v[k] = in ? fmaf(expf(log_p), factor, -scale * q) : 0.0f;
    }
    StoreF(dz + i, a);
  }
  sum = BlockSum<kThreads>(sum, warps);
  if (threadIdx.x != 0) return;
  losses[n] = masked ? 0.0f : sum + (begin == 0 ? z_loss * lse * lse : 0.0f);
}

}  // namespace

void Distill(Stream& stream, const DistillArgs& args) {
  const int64_t rows = args.logits.shape[0], width = args.logits.shape[1];
  WithFloatType(args.d_logits.dtype, [&](auto type) {
    using T = decltype(type);
    const bool vectors =
        width % kVector<T> == 0 && Aligned(args.d_logits, args.logits, args.teacher);
    WithVector<kVector<T>>(vectors, [&](auto n) {
      Launch(DistillKernel<T, n>, Blocks(rows), kThreads, 0, stream, Rows<T>(args.d_logits),
             args.loss.as<float>(), Rows<float>(args.logits), args.lse.as<float>(),
             Rows<float>(args.teacher), args.teacher_lse.as<float>(), args.targets.as<int32_t>(),
             args.grad_scale.as<float>(), args.z_loss, args.begin, args.valid, width);
    });
  });
}

}  // namespace tl::cuda
