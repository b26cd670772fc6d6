// SPDX-License-Identifier: Apache-2.0
#include "kernels/cross_entropy.h"

#include <cmath>
#include <cstring>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/cross_entropy.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h.
#include "kernels/cpu/common.h"
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tl::cpu::HWY_NAMESPACE {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr int64_t kBlock = 2048;

template <class D>
HWY_INLINE float MaxOf(D d, const float* z, size_t n) {
  const size_t width = hn::Lanes(d);
  auto m0 = hn::Set(d, -kInf), m1 = m0;
  size_t i = 0;
  for (; i + 2 * width <= n; i += 2 * width) {
    m0 = hn::Max(m0, hn::LoadU(d, z + i));
    m1 = hn::Max(m1, hn::LoadU(d, z + i + width));
  }
  float max = hn::GetLane(hn::MaxOfLanes(d, hn::Max(m0, m1)));
  for (; i < n; ++i) max = z[i] > max ? z[i] : max;
  return max;
}

template <class D>
HWY_INLINE float SumOfExp(D d, const float* z, size_t n, float max) {
  const auto shift = hn::Set(d, max);
  const size_t whole = n / hn::Lanes(d) * hn::Lanes(d);
  float sum = SumVectors(d, whole, [&](size_t i, auto lanes, auto acc) TL_SIMD_BODY {
    return hn::Add(acc, ExpBounded(d, hn::Sub(LoadF(d, z + i, lanes), shift)));
  });
  for (size_t i = whole; i < n; ++i) sum += std::exp(z[i] - max);
  return sum;
}

// Of a value that is there.
template <class D>
HWY_INLINE int64_t IndexOf(D d, const float* z, size_t n, float value) {
  const auto wanted = hn::Set(d, value);
  const size_t width = hn::Lanes(d);
  size_t i = 0;
  for (; i + width <= n; i += width) {
    const intptr_t lane = hn::FindFirstTrue(d, hn::Eq(hn::LoadU(d, z + i), wanted));
    if (lane >= 0) return static_cast<int64_t>(i) + lane;
  }
  while (i < n && z[i] != value) ++i;
  return static_cast<int64_t>(i);
}

template <class D>
HWY_INLINE int32_t CountGreater(D d, const float* z, size_t n, float value) {
  const auto bound = hn::Set(d, value);
  const size_t width = hn::Lanes(d);
  size_t count = 0, i = 0;
  for (; i + width <= n; i += width) count += hn::CountTrue(d, hn::Gt(hn::LoadU(d, z + i), bound));
  for (; i < n; ++i) count += z[i] > value;
  return static_cast<int32_t>(count);
}

// The row is read from memory once: maximum, sum and count go block by block, in cache.
void StatsRange(const CrossEntropyStatsArgs& args, int64_t begin, int64_t end) {
  const hn::ScalableTag<float> d;
  const float* target_logits = args.target_logit.as<float>();
  const Rows<float> logits(args.logits);
  for (int64_t n = begin; n < end; ++n) {
    const float* z = logits[n];
    float max = -kInf, sum = 0.0f;
    int64_t argmax = -1;
    int32_t greater = 0;
    for (int64_t v = 0; v < args.valid; v += kBlock) {
      const size_t count = std::min(kBlock, args.valid - v);
      const float block_max = MaxOf(d, z + v, count);
      if (block_max == -kInf && max == -kInf) {
        // Nothing but -Inf so far, and -Inf - -Inf has no value; a NaN must still come through.
        for (size_t i = 0; i < count; ++i) sum += z[v + i] != z[v + i] ? z[v + i] : 0.0f;
        continue;
      }
      if (block_max > max) {
        sum *= std::exp(max - block_max);
        max = block_max;
        argmax = args.begin + v + IndexOf(d, z + v, count, block_max);
      }
      sum += SumOfExp(d, z + v, count, max);
      greater += CountGreater(d, z + v, count, target_logits[n]);
    }
    const RowStats stats = {max, sum, static_cast<int32_t>(argmax), greater};
    std::memcpy(args.stats.as<float>() + 4 * n, &stats, sizeof(stats));
  }
}

template <typename T>
void GradRows(const CrossEntropyGradArgs& args, int64_t begin, int64_t end) {
  const hn::ScalableTag<float> d;
  const int64_t width = args.logits.shape[1];
  const int32_t* targets = args.targets.as<int32_t>();
  const float* lses = args.lse.as<float>();
  const float scale = *args.grad_scale.as<float>();
  const Rows<float> logits(args.logits);
  const Rows<T> d_logits(args.d_logits);
  for (int64_t n = begin; n < end; ++n) {
    const float* z = logits[n];
    T* dz = d_logits[n];
    if (targets[n] < 0) {
      std::memset(dz, 0, width * sizeof(T));
      continue;
    }
    const float factor = scale * (1.0f + 2.0f * args.z_loss * lses[n]);
    const int64_t local = targets[n] - args.begin;
    const bool here = local >= 0 && local < args.valid;
    // Before the loop, which may overwrite the logits.
    const float at_target = here ? std::exp(z[local] - lses[n]) * factor - scale : 0.0f;
    const auto lse = hn::Set(d, lses[n]);
    const auto factors = hn::Set(d, factor);
    ForVectors(d, args.valid, [&](size_t i, auto lanes) TL_SIMD_BODY {
      const auto p = ExpBounded(d, hn::Sub(LoadF(d, z + i, lanes), lse));
      StoreF(d, hn::Mul(p, factors), dz + i, lanes);
    });
    if (here) dz[local] = FromFloat<T>(at_target);
    std::memset(dz + args.valid, 0, (width - args.valid) * sizeof(T));
  }
}

void GradRange(const CrossEntropyGradArgs& args, int64_t begin, int64_t end) {
  WithFloatType(args.d_logits.dtype, [&](auto t) { GradRows<decltype(t)>(args, begin, end); });
}

}  // namespace tl::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tl::cpu {

HWY_EXPORT(StatsRange);
HWY_EXPORT(GradRange);

void CrossEntropyTarget(Stream&, const CrossEntropyTargetArgs& args) {
  const int64_t rows = args.logits.shape[0];
  const int32_t* targets = args.targets.as<int32_t>();
  const Rows<float> logits(args.logits);
  float* out = args.target_logit.as<float>();
  for (int64_t n = 0; n < rows; ++n) {
    const int64_t local = targets[n] - args.begin;
    const bool here = targets[n] >= 0 && local >= 0 && local < args.valid;
    out[n] = here ? logits[n][local] : 0.0f;
  }
}

void CrossEntropyStats(Stream&, const CrossEntropyStatsArgs& args) {
  const int64_t rows = args.logits.shape[0];
  ParallelRanges(rows, ThreadsFor(args.logits.bytes()), 1, [&](int, int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(StatsRange)(args, begin, end);
  });
}

void CrossEntropyMerge(Stream&, const CrossEntropyMergeArgs& args) {
  const int64_t ranks = args.all_stats.shape[0], rows = args.all_stats.shape[1];
  const float* all = args.all_stats.as<float>();
  const float* target_logits = args.target_logit.as<float>();
  const int32_t* targets = args.targets.as<int32_t>();
  for (int64_t n = 0; n < rows; ++n) {
    const auto stats_of = [&](int64_t r) {
      RowStats stats;
      std::memcpy(&stats, all + 4 * (r * rows + n), sizeof(stats));
      return stats;
    };
    float max = -std::numeric_limits<float>::infinity();
    int32_t greedy = -1, greater = 0;
    for (int64_t r = 0; r < ranks; ++r) {
      const RowStats stats = stats_of(r);
      // Equal maxima: the first rank has the lower ids.
      if (stats.max > max) greedy = stats.argmax;
      max = std::max(max, stats.max);
      greater += stats.greater;
    }
    double sum = 0.0;
    for (int64_t r = 0; r < ranks; ++r) {
      const RowStats stats = stats_of(r);
      // A rank without a finite logit adds its sum, 0 or NaN.
      sum += stats.max == max ? stats.sum : stats.sum * std::exp(double{stats.max} - max);
    }
    const double lse = max + std::log(sum);
    const bool masked = targets[n] < 0;
    args.lse.as<float>()[n] = static_cast<float>(lse);
    if (args.loss) {
      args.loss.as<float>()[n] =
          masked ? 0.0f : static_cast<float>(lse - target_logits[n] + args.z_loss * lse * lse);
    }
    if (args.greedy) args.greedy.as<int32_t>()[n] = greedy;
    if (args.rank) args.rank.as<int32_t>()[n] = masked ? -1 : std::isnan(lse) ? kNoRank : greater;
  }
}

void CrossEntropyGrad(Stream&, const CrossEntropyGradArgs& args) {
  const int64_t rows = args.logits.shape[0];
  const int64_t bytes = args.logits.bytes() + args.d_logits.bytes();
  ParallelRanges(rows, ThreadsFor(bytes), 1, [&](int, int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(GradRange)(args, begin, end);
  });
}

}  // namespace tl::cpu
#endif
