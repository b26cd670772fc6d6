// SPDX-License-Identifier: Apache-2.0
#include "kernels/cached_attention.h"

#include <cmath>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/cached_attention.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h.
#include "kernels/cpu/common.h"
#include "kernels/cpu/simd-inl.h"

namespace tl::cpu {
#ifndef TL_KERNELS_CPU_CACHED_ATTENTION_SHARED_
#define TL_KERNELS_CPU_CACHED_ATTENTION_SHARED_
// Keys of one step of the online softmax. Steps start at multiples of it in the order of a row's
// keys, so that a row is summed the same way however it was reached.
constexpr int64_t kKeyStep = 64;

// One thread's working memory, for the query heads of one key head.
struct CachedAttentionSlot {
  float* q;       // [group, D], scaled
  float* o;       // [group, D]
  float* scores;  // [group, kKeyStep]
  float* max;     // [group]
  float* sum;     // [group]
};
#endif
}  // namespace tl::cpu

HWY_BEFORE_NAMESPACE();
namespace tl::cpu::HWY_NAMESPACE {

// The keys of a row, in order.
class KeyList {
 public:
  KeyList(int64_t prefix, const int32_t* ancestors) : prefix_(prefix) {
    for (int64_t j = 0; j < kTreeKeys; ++j) {
      if (static_cast<uint32_t>(ancestors[j / 32]) >> (j % 32) & 1u)
        tree_[count_++] = static_cast<int32_t>(prefix + j);
    }
  }
  int64_t size() const { return prefix_ + count_; }
  int64_t operator[](int64_t t) const { return t < prefix_ ? t : tree_[t - prefix_]; }

 private:
  int64_t prefix_;
  int64_t count_ = 0;
  int32_t tree_[kTreeKeys];
};

// o = fade o + sum_t weights[t] v_t over one step's keys, Vectors vectors of it from element j.
template <int Vectors, class D, typename T, class L>
HWY_INLINE void AddValues(D d, const T* const* v, int64_t keys, const float* weights, float fade,
                          float* o, size_t j, L lanes) {
  const size_t width = hn::Lanes(d);
  hn::Vec<D> sums[Vectors];
  const auto factor = hn::Set(d, fade);
#pragma GCC unroll 4
  for (int i = 0; i < Vectors; ++i) sums[i] = hn::Mul(factor, LoadF(d, o + j + i * width, lanes));
  for (int64_t t = 0; t < keys; ++t) {
    const auto weight = hn::Set(d, weights[t]);
#pragma GCC unroll 4
    for (int i = 0; i < Vectors; ++i)
      sums[i] = hn::MulAdd(weight, LoadF(d, v[t] + j + i * width, lanes), sums[i]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < Vectors; ++i) StoreF(d, sums[i], o + j + i * width, lanes);
}

template <typename T>
void HeadOf(const CachedAttentionArgs& args, const CachedAttentionSlot& slot, const KeyList& keys,
            int64_t row, int64_t key_head, float scale) {
  constexpr float kLowest = -std::numeric_limits<float>::infinity();
  const hn::ScalableTag<float> d;
  const size_t width = hn::Lanes(d), dim = static_cast<size_t>(args.q.shape[2]);
  const int64_t group = args.q.shape[1] / args.k.shape[1];
  const int64_t sequence = args.sequences.as<int32_t>()[row];
  const T* k = args.k.as<T>() + sequence * args.k.strides[0] + key_head * args.k.strides[1];
  const T* v = args.v.as<T>() + sequence * args.v.strides[0] + key_head * args.v.strides[1];
  for (int64_t g = 0; g < group; ++g) {
    const T* q =
        args.q.as<T>() + row * args.q.strides[0] + (key_head * group + g) * args.q.strides[1];
    float* to = slot.q + g * static_cast<int64_t>(dim);
    const auto factor = hn::Set(d, scale);
    ForVectors(d, dim, [&](size_t j, auto lanes) TL_SIMD_BODY {
      StoreF(d, hn::Mul(factor, LoadF(d, q + j, lanes)), to + j, lanes);
    });
    slot.max[g] = kLowest;
    slot.sum[g] = 0.0f;
  }
  std::fill_n(slot.o, group * static_cast<int64_t>(dim), 0.0f);
  const int64_t end = keys.size();
  const int64_t begin = args.window > 0 ? std::max<int64_t>(0, end - args.window) : 0;
  const T* values[kKeyStep];
  for (int64_t step = begin / kKeyStep * kKeyStep; step < end; step += kKeyStep) {
    const int64_t first = std::max(begin, step), count = std::min(end, step + kKeyStep) - first;
    std::fill_n(slot.scores, group * kKeyStep, kLowest);
    for (int64_t t = 0; t < count; ++t) {
      const int64_t index = keys[first + t];
      const T* key = k + index * args.k.strides[2];
      values[t] = v + index * args.v.strides[2];
      for (int64_t g = 0; g < group; ++g) {
        const float* q = slot.q + g * static_cast<int64_t>(dim);
        slot.scores[g * kKeyStep + t] =
            SumVectors(d, dim, [&](size_t j, auto lanes, auto acc) TL_SIMD_BODY {
              return hn::MulAdd(LoadF(d, q + j, lanes), LoadF(d, key + j, lanes), acc);
            });
      }
    }
    for (int64_t g = 0; g < group; ++g) {
      float* scores = slot.scores + g * kKeyStep;
      float max = slot.max[g];
      for (int64_t t = 0; t < count; ++t) max = scores[t] > max ? scores[t] : max;
      // Where every score so far is -inf or NaN there is nothing to shift by.
      const float shift_by = max == kLowest ? 0.0f : max;
      const float fade = slot.max[g] == kLowest ? 0.0f : std::exp(slot.max[g] - max);
      slot.max[g] = max;
      const auto shift = hn::Set(d, shift_by);
      const float sum = SumVectors(d, kKeyStep, [&](size_t t, auto lanes, auto acc) TL_SIMD_BODY {
        const auto e = ExpBounded(d, hn::Sub(LoadF(d, scores + t, lanes), shift));
        StoreF(d, e, scores + t, lanes);
        return hn::Add(acc, e);
      });
      slot.sum[g] = slot.sum[g] * fade + sum;
      float* o = slot.o + g * static_cast<int64_t>(dim);
      size_t j = 0;
      for (; j + 4 * width <= dim; j += 4 * width)
        AddValues<4>(d, values, count, scores, fade, o, j, AllLanes{});
      for (; j + width <= dim; j += width)
        AddValues<1>(d, values, count, scores, fade, o, j, AllLanes{});
      if (j < dim) AddValues<1>(d, values, count, scores, fade, o, j, dim - j);
    }
  }
  for (int64_t g = 0; g < group; ++g) {
    T* to = args.o.as<T>() + row * args.o.strides[0] + (key_head * group + g) * args.o.strides[1];
    const float* o = slot.o + g * static_cast<int64_t>(dim);
    const auto factor = hn::Set(d, end > begin ? 1.0f / slot.sum[g] : 0.0f);
    ForVectors(d, dim, [&](size_t j, auto lanes) TL_SIMD_BODY {
      StoreF(d, hn::Mul(factor, LoadF(d, o + j, lanes)), to + j, lanes);
    });
  }
}

void CachedAttentionHead(const CachedAttentionArgs& args, const CachedAttentionSlot& slot,
                         int64_t row, int64_t key_head, float scale) {
  const KeyList keys(args.prefix.as<int32_t>()[row], args.ancestors.as<int32_t>() + 4 * row);
  WithFloatType(args.q.dtype,
                [&](auto t) { HeadOf<decltype(t)>(args, slot, keys, row, key_head, scale); });
}

}  // namespace tl::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tl::cpu {

HWY_EXPORT(CachedAttentionHead);

void CachedAttention(Stream& stream, const CachedAttentionArgs& args) {
  const int64_t rows = args.q.shape[0], heads = args.q.shape[1], d = args.q.shape[2];
  const int64_t key_heads = args.k.shape[1], capacity = args.k.shape[2];
  for (int64_t n = 0; n < rows; ++n) {
    const int32_t sequence = args.sequences.as<int32_t>()[n], prefix = args.prefix.as<int32_t>()[n];
    int64_t last = prefix, keys = prefix;
    for (int64_t j = 0; j < kTreeKeys; ++j) {
      if (static_cast<uint32_t>(args.ancestors.as<int32_t>()[4 * n + j / 32]) >> (j % 32) & 1u) {
        last = prefix + j + 1;
        ++keys;
      }
    }
    TL_CHECK(0 <= sequence && sequence < args.k.shape[0] && 0 <= prefix && last <= capacity &&
             (args.most_keys == 0 || keys <= args.most_keys))
        << "row " << n << ": sequence " << sequence << ", " << keys << " keys up to " << last
        << " in a cache " << ToString(args.k.shape) << ", at most " << args.most_keys;
  }
  const float scale = args.scale != 0.0f ? args.scale : 1.0f / std::sqrt(static_cast<float>(d));
  const int64_t group = heads / key_heads;
  const int64_t slot_floats = (2 * group * d + group * kKeyStep + 2 * group + 15) / 16 * 16;
  const int threads = omp_get_max_threads();
  auto* scratch = reinterpret_cast<float*>(
      stream.Scratch(static_cast<size_t>(slot_floats * threads) * sizeof(float)));
  const int64_t work = rows * key_heads;
  if (work == 0) return;
  const int used = static_cast<int>(std::min<int64_t>(threads, work));
#pragma omp parallel for schedule(dynamic, 1) num_threads(used)
  for (int64_t task = 0; task < work; ++task) {
    float* own = scratch + slot_floats * omp_get_thread_num();
    const CachedAttentionSlot slot{own, own + group * d, own + 2 * group * d,
                                   own + 2 * group * d + group * kKeyStep,
                                   own + 2 * group * d + group * kKeyStep + group};
    HWY_DYNAMIC_DISPATCH(CachedAttentionHead)
    (args, slot, task / key_heads, task % key_heads, scale);
  }
}

}  // namespace tl::cpu
#endif
