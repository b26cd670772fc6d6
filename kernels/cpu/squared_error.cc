// SPDX-License-Identifier: Apache-2.0
#include "kernels/squared_error.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/squared_error.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h.
#include "kernels/cpu/common.h"
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tl::cpu::HWY_NAMESPACE {

template <typename T>
void ErrorSamples(const SquaredErrorArgs& args, int64_t begin, int64_t end) {
  const hn::ScalableTag<float> d;
  const int64_t rows = args.y.shape[0], width = args.y.shape[1];
  const auto size = static_cast<float>(args.samples.rows_per_sample * width);
  const float scale = args.dy ? *args.grad_scale.as<float>() : 0.0f;
  for (int64_t b = begin; b < end; ++b) {
    const int64_t from = args.samples.Begin(b, rows) * width;
    const int64_t count = args.samples.Begin(b + 1, rows) * width - from;
    const float weight = args.weights.as<float>()[b];
    float& loss = args.losses.as<float>()[b];
    T* dy = args.dy ? args.dy.as<T>() + from : nullptr;
    if (count == 0 || weight == 0.0f) {
      loss = 0.0f;
      if (dy != nullptr) std::fill_n(dy, count, T{});
      continue;
    }
    const float* y = args.y.as<float>() + from;
    const float* target = args.target.as<float>() + from;
    const auto factor = hn::Set(d, 2.0f * scale * weight / size);
    const auto visit = [&](auto with_grad) TL_SIMD_BODY {
      return SumVectors(d, count, [&](size_t i, auto lanes, auto acc) TL_SIMD_BODY {
        const auto error = hn::Sub(LoadF(d, y + i, lanes), LoadF(d, target + i, lanes));
        if constexpr (with_grad) StoreF(d, hn::Mul(error, factor), dy + i, lanes);
        return hn::MulAdd(error, error, acc);
      });
    };
    const float squares = dy != nullptr ? visit(std::true_type{}) : visit(std::false_type{});
    loss = squares * (weight / size);
  }
}

void SquaredErrorRange(const SquaredErrorArgs& args, int64_t begin, int64_t end) {
  WithFloatType(args.dy ? args.dy.dtype : DType::kF32,
                [&](auto t) { ErrorSamples<decltype(t)>(args, begin, end); });
}

}  // namespace tl::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tl::cpu {

HWY_EXPORT(SquaredErrorRange);

void SquaredError(Stream&, const SquaredErrorArgs& args) {
  ParallelRanges(args.losses.elements(), ThreadsFor(3 * args.y.bytes()), 1,
                 [&](int, int64_t begin, int64_t end) {
                   HWY_DYNAMIC_DISPATCH(SquaredErrorRange)(args, begin, end);
                 });
}

void SumByRange(Stream&, const SumByRangeArgs& args) {
  const float* losses = args.losses.as<float>();
  const int32_t* ranges = args.ranges.as<int32_t>();
  RangeSums sums = {};
  for (int64_t b = 0; b < args.losses.elements(); ++b) {
    if (ranges[b] < 0 || ranges[b] >= kLossRanges) continue;
    sums.losses[ranges[b]] += losses[b];
    sums.samples[ranges[b]] += 1;
  }
  RangeSums& total = *reinterpret_cast<RangeSums*>(args.sums.data);
  for (int64_t k = 0; k < kLossRanges; ++k) {
    total.losses[k] += sums.losses[k];
    total.samples[k] += sums.samples[k];
  }
}

}  // namespace tl::cpu
#endif
