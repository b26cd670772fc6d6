// SPDX-License-Identifier: Apache-2.0
#include "kernels/cross_entropy.h"

#include "kernels/cuda/common.h"

namespace tl::cuda {
namespace {

constexpr int kThreads = 512;
constexpr int kWarps = kThreads / kWarp;
// Vectors in flight for each thread.
constexpr int kAhead = 4;

__device__ inline float Infinity() { return __int_as_float(0x7f800000); }

constexpr int kTargetThreads = 128;

__global__ void __launch_bounds__(kTargetThreads)
    TargetKernel(float* out, Rows<float> logits, const int32_t* targets, int64_t rows,
                 int64_t begin, int64_t valid) {
  const int64_t n = static_cast<int64_t>(blockIdx.x) * kTargetThreads + threadIdx.x;
  if (n >= rows) return;
  const int64_t local = targets[n] - begin;
  const bool here = targets[n] >= 0 && local >= 0 && local < valid;
  out[n] = here ? logits[n][local] : 0.0f;
}

constexpr int kNoIndex = 0x7fffffff;

// RowStats of part of a row, index local to the slice.
struct Partial {
  float max, sum;
  int index, greater;
};

// exp(-inf - -inf) has no value: where nothing finite was seen the sum, 0 or NaN, stays as it is.
__device__ inline float Rescaled(const Partial& p, float max) {
  return p.max == max ? p.sum : p.sum * expf(p.max - max);
}
__device__ inline Partial Merged(const Partial& a, const Partial& b) {
  const float max = fmaxf(a.max, b.max);
  const int index = a.max == b.max ? min(a.index, b.index) : a.max > b.max ? a.index : b.index;
  return {max, Rescaled(a, max) + Rescaled(b, max), index, a.greater + b.greater};
}

// One block for each row, which is read once: each thread keeps the maximum of what it has seen.
template <int N>
__global__ void __launch_bounds__(kThreads)
    StatsKernel(RowStats* stats, Rows<float> logits, const float* target_logits, int64_t begin,
                int64_t valid) {
  __shared__ Partial warps[kWarps];
  const int64_t n = blockIdx.x;
  const float* z = logits[n];
  const float target = target_logits[n];
  Partial mine = {-Infinity(), 0.0f, kNoIndex, 0};
  constexpr int64_t kStep = int64_t{kThreads} * N;
  for (int64_t base = int64_t{threadIdx.x} * N; base < valid; base += kAhead * kStep) {
    // The width is a multiple of N, so a vector that starts in the valid columns is in the row.
    Pack<float, N> v[kAhead];
#pragma unroll
    for (int c = 0; c < kAhead; ++c) {
      const int64_t i = base + c * kStep;
      if (i < valid) v[c] = LoadPack<N>(z + i);
#pragma unroll
      for (int k = 0; k < N; ++k) {
        if (i + k >= valid) v[c].v[k] = -Infinity();
      }
    }
    float max = mine.max;  // fmaxf passes over NaN
#pragma unroll
    for (int c = 0; c < kAhead; ++c) {
#pragma unroll
      for (int k = 0; k < N; ++k) {
        max = fmaxf(max, v[c].v[k]);
        mine.greater += v[c].v[k] > target;
      }
    }
    if (max > mine.max) {
#pragma unroll
      for (int c = kAhead - 1; c >= 0; --c) {
#pragma unroll
        for (int k = N - 1; k >= 0; --k) {
          if (v[c].v[k] == max) mine.index = static_cast<int>(base + c * kStep + k);
        }
      }
    }
    mine.sum = Rescaled(mine, max);
    mine.max = max;
    const float shift = max == -Infinity() ? 0.0f : max;
#pragma unroll
    for (int c = 0; c < kAhead; ++c) {
#pragma unroll
      for (int k = 0; k < N; ++k) mine.sum += expf(v[c].v[k] - shift);
    }
  }
  for (int step = kWarp / 2; step > 0; step /= 2) {
    mine = Merged(mine, {__shfl_xor_sync(kAllLanes, mine.max, step),
                         __shfl_xor_sync(kAllLanes, mine.sum, step),
                         __shfl_xor_sync(kAllLanes, mine.index, step),
                         __shfl_xor_sync(kAllLanes, mine.greater, step)});
  }
  if (threadIdx.x % kWarp == 0) warps[threadIdx.x / kWarp] = mine;
  __syncthreads();
  if (threadIdx.x != 0) return;
  for (int w = 1; w < kWarps; ++w) mine = Merged(mine, warps[w]);
  const int argmax = mine.index == kNoIndex ? -1 : static_cast<int>(begin) + mine.index;
  stats[n] = {mine.max, mine.sum, argmax, mine.greater};
}

constexpr int kMergeThreads = 128;

__global__ void __launch_bounds__(kMergeThreads)
    MergeKernel(float* lses, float* losses, int32_t* greedy_tokens, int32_t* target_ranks,
                const RowStats* all, const float* target_logits, const int32_t* targets,
                int64_t ranks, int64_t rows, float z_loss) {
  const int64_t n = static_cast<int64_t>(blockIdx.x) * kMergeThreads + threadIdx.x;
  if (n >= rows) return;
  float max = -Infinity();
  int32_t greedy = -1, greater = 0;
  for (int64_t r = 0; r < ranks; ++r) {
    const RowStats& stats = all[r * rows + n];
    // Equal maxima: the first rank has the lower ids.
    if (stats.max > max) greedy = stats.argmax;
    max = fmaxf(max, stats.max);
    greater += stats.greater;
  }
  double sum = 0.0;
  for (int64_t r = 0; r < ranks; ++r) {
    const RowStats& stats = all[r * rows + n];
    // A rank without a finite logit adds its sum, 0 or NaN.
    sum += stats.max == max ? stats.sum : stats.sum * exp(static_cast<double>(stats.max) - max);
  }
  const double lse = max + log(sum);
  const bool masked = targets[n] < 0;
  lses[n] = static_cast<float>(lse);
  if (losses != nullptr)
    losses[n] = masked ? 0.0f : static_cast<float>(lse - target_logits[n] + z_loss * lse * lse);
  if (greedy_tokens != nullptr) greedy_tokens[n] = greedy;
  if (target_ranks != nullptr) target_ranks[n] = masked ? -1 : lse != lse ? kNoRank : greater;
}

// One block for each row. Where the gradient is narrower and in place, what a block writes in one
// step lies over logits of that step or earlier ones: all of them must have been read.
template <typename T, int N>
__global__ void __launch_bounds__(kThreads)
    GradKernel(Rows<T> d_logits, Rows<float> logits, const float* lses, const int32_t* targets,
               const float* grad_scale, float z_loss, int64_t begin, int64_t valid, int64_t width) {
  const int64_t n = blockIdx.x;
  const float* z = logits[n];
  T* dz = d_logits[n];
  const bool over_read =
      sizeof(T) < sizeof(float) && static_cast<const void*>(z) == static_cast<const void*>(dz);
  const bool masked = targets[n] < 0;
  const int64_t last = masked ? 0 : valid, local = masked ? -1 : targets[n] - begin;
  const float lse = lses[n], scale = *grad_scale;
  const float factor = scale * fmaf(2.0f * z_loss, lse, 1.0f);
  constexpr int kUnroll = kAhead * 4 / N < kAhead ? kAhead * 4 / N : kAhead;
  constexpr int64_t kStep = int64_t{kThreads} * N;
  for (int64_t base = 0; base < width; base += kUnroll * kStep) {
    Pack<float, N> v[kUnroll];
#pragma unroll
    for (int c = 0; c < kUnroll; ++c) {
      const int64_t i = base + c * kStep + int64_t{threadIdx.x} * N;
      if (i < last) v[c] = LoadPack<N>(z + i);
    }
    if (over_read) __syncthreads();
#pragma unroll
    for (int c = 0; c < kUnroll; ++c) {
      const int64_t i = base + c * kStep + int64_t{threadIdx.x} * N;
      if (i >= width) continue;
#pragma unroll
      for (int k = 0; k < N; ++k) {
        const float p = i + k < last ? expf(v[c].v[k] - lse) * factor : 0.0f;
        v[c].v[k] = i + k == local && i + k < last ? p - scale : p;
      }
      StoreF(dz + i, v[c]);
    }
  }
}

}  // namespace

void CrossEntropyTarget(Stream& stream, const CrossEntropyTargetArgs& args) {
  const int64_t rows = args.logits.shape[0];
  Launch(TargetKernel, Blocks(CeilDiv(rows, kTargetThreads)), kTargetThreads, 0, stream,
         args.target_logit.as<float>(), Rows<float>(args.logits), args.targets.as<int32_t>(), rows,
         args.begin, args.valid);
}

void CrossEntropyStats(Stream& stream, const CrossEntropyStatsArgs& args) {
  const int64_t rows = args.logits.shape[0], width = args.logits.shape[1];
  WithVector<4>(width % 4 == 0 && Aligned(args.logits), [&](auto n) {
    Launch(StatsKernel<n>, Blocks(rows), kThreads, 0, stream,
           reinterpret_cast<RowStats*>(args.stats.data), Rows<float>(args.logits),
           args.target_logit.as<float>(), args.begin, args.valid);
  });
}

void CrossEntropyMerge(Stream& stream, const CrossEntropyMergeArgs& args) {
  const int64_t ranks = args.all_stats.shape[0], rows = args.all_stats.shape[1];
  const auto ints = [](const Tensor& t) { return t ? t.as<int32_t>() : nullptr; };
  Launch(MergeKernel, Blocks(CeilDiv(rows, kMergeThreads)), kMergeThreads, 0, stream,
         args.lse.as<float>(), args.loss ? args.loss.as<float>() : nullptr, ints(args.greedy),
         ints(args.rank), reinterpret_cast<const RowStats*>(args.all_stats.data),
         args.target_logit.as<float>(), args.targets.as<int32_t>(), ranks, rows, args.z_loss);
}

void CrossEntropyGrad(Stream& stream, const CrossEntropyGradArgs& args) {
  const int64_t rows = args.logits.shape[0], width = args.logits.shape[1];
  WithFloatType(args.d_logits.dtype, [&](auto type) {
    using T = decltype(type);
    const bool vectors = width % kVector<T> == 0 && Aligned(args.d_logits, args.logits);
    WithVector<kVector<T>>(vectors, [&](auto n) {
      Launch(GradKernel<T, n>, Blocks(rows), kThreads, 0, stream, Rows<T>(args.d_logits),
             Rows<float>(args.logits), args.lse.as<float>(), args.targets.as<int32_t>(),
             args.grad_scale.as<float>(), args.z_loss, args.begin, args.valid, width);
    });
  });
}

}  // namespace tl::cuda
