// SPDX-License-Identifier: Apache-2.0
#include "kernels/adamw.h"

#include <algorithm>

#include "kernels/cuda/common.h"

namespace tl::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kMaxBlocks = 4096;  // enough for every device; each works out the powers once

// The options of one update and the scalars that change from step to step.
struct AdamWStep {
  float beta1, beta2, eps, decay, lr_scale;
  int head;
};

// kWeight: also write the parameter in W. kEma: also move the average.
template <typename W, int N, bool kWeight, bool kEma>
__global__ void __launch_bounds__(kThreads)
    AdamWKernel(float* ps, float* ms, float* vs, const float* grads, W* weights, float* emas,
                int64_t n, const StepScalars* scalars, AdamWStep o) {
  if (SkipsUpdate(*scalars, o.head)) return;
  __shared__ float corrections[2];  // 1 / (1 - beta^t)
  if (threadIdx.x < 2) {
    const double beta = threadIdx.x == 0 ? o.beta1 : o.beta2, t = scalars->adam_step;
    corrections[threadIdx.x] = static_cast<float>(1.0 / (1.0 - pow(beta, t)));
  }
  __syncthreads();
  const float correct1 = corrections[0], correct2 = corrections[1];
  const float factor = scalars->grad_factor, lr = scalars->lr * o.lr_scale;
  const float rest1 = 1.0f - o.beta1, rest2 = 1.0f - o.beta2, ema_rate = scalars->ema_rate;
  const auto update = [&](int64_t i, auto lanes) {
    constexpr int kLanes = decltype(lanes)::value;
    const Pack<float, kLanes> grad = LoadF<kLanes>(grads + i);
    Pack<float, kLanes> p = LoadF<kLanes>(ps + i), m = LoadF<kLanes>(ms + i),
                        v = LoadF<kLanes>(vs + i);
#pragma unroll
    for (int k = 0; k < kLanes; ++k) {
      const float g = grad.v[k] * factor;
      m.v[k] = fmaf(o.beta1, m.v[k], rest1 * g);
      v.v[k] = fmaf(o.beta2, v.v[k], rest2 * (g * g));
      const float root = sqrtf(v.v[k] * correct2) + o.eps;
      const float step = fmaf(o.decay, p.v[k], m.v[k] * correct1 / root);
      p.v[k] = fmaf(-lr, step, p.v[k]);
    }
    StoreF(ms + i, m);
    StoreF(vs + i, v);
    StoreF(ps + i, p);
    if constexpr (kWeight) StoreF(weights + i, p);
    if constexpr (kEma) {
      Pack<float, kLanes> ema = LoadF<kLanes>(emas + i);
#pragma unroll
      for (int k = 0; k < kLanes; ++k) ema.v[k] = fmaf(ema_rate, p.v[k] - ema.v[k], ema.v[k]);
      StoreF(emas + i, ema);
    }
  };
  const int64_t stride = static_cast<int64_t>(gridDim.x) * kThreads * N;
  int64_t i = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * N;
  for (; i + N <= n; i += stride) update(i, Int<N>());
  for (; i < n; ++i) update(i, Int<1>());
}

}  // namespace

void AdamW(Stream& stream, const AdamWArgs& args) {
  const int64_t n = args.p.elements();
  const AdamWStep options = {args.beta1,        args.beta2,    args.eps,
                             args.weight_decay, args.lr_scale, args.head};
  // A shard may begin anywhere: only its start must be aligned, and the last axis has no stride.
  const auto start = [](const Tensor& t) { return t ? t.Reshape({t.elements()}) : Tensor(); };
  const bool vectors = Aligned(start(args.p), start(args.m), start(args.v), start(args.grad),
                               start(args.weight), start(args.ema));
  WithVector<4>(vectors, [&](auto lanes) {
    const dim3 grid = Blocks(std::min<int64_t>(CeilDiv(n, lanes * kThreads), kMaxBlocks));
    const auto launch = [&](auto kernel, auto* weight) {
      Launch(kernel, grid, kThreads, 0, stream, args.p.as<float>(), args.m.as<float>(),
             args.v.as<float>(), args.grad.as<float>(), weight,
             args.ema ? args.ema.as<float>() : nullptr, n, args.scalars, options);
    };
    if (!args.weight) {
      auto* none = static_cast<float*>(nullptr);
      args.ema ? launch(AdamWKernel<float, lanes, false, true>, none)
               : launch(AdamWKernel<float, lanes, false, false>, none);
      return;
    }
    WithFloatType(args.weight.dtype, [&](auto type) {
      using W = decltype(type);
      args.ema ? launch(AdamWKernel<W, lanes, true, true>, args.weight.as<W>())
               : launch(AdamWKernel<W, lanes, true, false>, args.weight.as<W>());
    });
  });
}

}  // namespace tl::cuda
