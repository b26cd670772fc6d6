// SPDX-License-Identifier: Apache-2.0
#include "kernels/squared_error.h"

#include "kernels/cuda/block_sums.h"
#include "kernels/cuda/common.h"

namespace tl::cuda {
namespace {

constexpr int kThreads = 512;

// A block has one sample. dys may be null. N: elements of one access, a divisor of width.
template <typename T, int N>
__global__ void __launch_bounds__(kThreads)
    SquaredErrorKernel(float* losses, T* dys, const float* ys, const float* targets,
                       const float* weights, const float* grad_scale, SampleRows samples,
                       int64_t rows, int64_t width) {
  __shared__ float warp_sums[kThreads / kWarp];
  const int64_t sample = blockIdx.x;
  const int64_t begin = samples.Begin(sample, rows) * width;
  const int64_t end = samples.Begin(sample + 1, rows) * width;
  const float weight = weights[sample];
  const auto size = static_cast<float>(samples.rows_per_sample * width);
  const bool counts = begin < end && weight != 0.0f;
  const float factor = counts && dys != nullptr ? 2.0f * *grad_scale * weight / size : 0.0f;
  float squares = 0.0f;
#pragma unroll 2
  for (int64_t i = begin + static_cast<int>(threadIdx.x) * N; i < end; i += kThreads * N) {
    Pack<float, N> error = LoadF<N>(ys + i);
    const Pack<float, N> target = LoadF<N>(targets + i);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      error.v[k] = counts ? error.v[k] - target.v[k] : 0.0f;
      squares = fmaf(error.v[k], error.v[k], squares);
      error.v[k] *= factor;
    }
    if (dys != nullptr) StoreF(dys + i, error);
  }
  squares = BlockSum<kThreads>(squares, warp_sums);
  if (threadIdx.x == 0) losses[sample] = counts ? squares * (weight / size) : 0.0f;
}

// One block: samples are few, and the order of the sums is fixed.
__global__ void __launch_bounds__(kThreads)
    SumByRangeKernel(double* sums, const float* losses, const int32_t* ranges, int64_t count) {
  __shared__ double parts[kThreads];
  double mine[kRangeSums] = {};
  for (int64_t b = threadIdx.x; b < count; b += kThreads) {
#pragma unroll
    for (int k = 0; k < kLossRanges; ++k) {
      if (ranges[b] != k) continue;
      mine[k] += losses[b];
      mine[kLossRanges + k] += 1;
    }
  }
  AddBlockSums(sums, mine, parts);
}

}  // namespace

void SquaredError(Stream& stream, const SquaredErrorArgs& args) {
  const int64_t rows = args.y.shape[0], width = args.y.shape[1];
  const float* grad_scale = args.dy ? args.grad_scale.as<float>() : nullptr;
  WithFloatType(args.dy ? args.dy.dtype : DType::kF32, [&](auto type) {
    using T = decltype(type);
    const bool vectors = width % 4 == 0 && Aligned(args.y, args.target, args.dy);
    WithVector<4>(vectors, [&](auto n) {
      Launch(SquaredErrorKernel<T, n>, Blocks(args.losses.elements()), kThreads, 0, stream,
             args.losses.as<float>(), args.dy ? args.dy.as<T>() : nullptr, args.y.as<float>(),
             args.target.as<float>(), args.weights.as<float>(), grad_scale, args.samples, rows,
             width);
    });
  });
}

void SumByRange(Stream& stream, const SumByRangeArgs& args) {
  Launch(SumByRangeKernel, 1, kThreads, 0, stream, args.sums.as<double>(), args.losses.as<float>(),
         args.ranges.as<int32_t>(), args.losses.elements());
}

}  // namespace tl::cuda
