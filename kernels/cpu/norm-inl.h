// SPDX-License-Identifier: Apache-2.0
// What the norms share over one row, compiled once per SIMD target.
#if defined(TL_KERNELS_CPU_NORM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TL_KERNELS_CPU_NORM_INL_H_
#undef TL_KERNELS_CPU_NORM_INL_H_
#else
#define TL_KERNELS_CPU_NORM_INL_H_
#endif

#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tl::cpu::HWY_NAMESPACE {

// Returns the sum of squares of a row.
template <class D, typename T>
HWY_INLINE float SumRowSquares(D d, size_t width, const T* x) {
  return SumVectors(d, width, [&](size_t i, auto lanes, auto acc) TL_SIMD_BODY {
    const auto h = LoadF(d, x + i, lanes);
    return hn::MulAdd(h, h, acc);
  });
}

// sum = x + gate residual, rounded; gate null: 1. Returns the sum of squares of what was rounded.
template <class D, typename T>
HWY_INLINE float AddRows(D d, size_t width, T* sum, const T* x, const T* residual,
                         const float* gate) {
  const auto visit = [&](auto gated) TL_SIMD_BODY {
    return SumVectors(d, width, [&](size_t i, auto lanes, auto acc) TL_SIMD_BODY {
      auto exact = LoadF(d, x + i, lanes);
      const auto other = LoadF(d, residual + i, lanes);
      if constexpr (gated) {
        exact = hn::MulAdd(LoadF(d, gate + i, lanes), other, exact);
      } else {
        exact = hn::Add(exact, other);
      }
      const auto h = StoreRounded(d, exact, sum + i, lanes);
      return hn::MulAdd(h, h, acc);
    });
  };
  return gate == nullptr ? visit(std::false_type{}) : visit(std::true_type{});
}

// dx = rstd (g - h rstd^2 mean(g h)) + d_sum, g = w dy; h in x; d_sum may be null. weight(i, lanes)
// gives w; sums(i, lanes, dy, h rstd) is called once for each vector.
template <class D, typename T, class Weight, class Sums>
HWY_INLINE void NormBackwardRow(D d, size_t width, T* dx, const T* dy, const T* x, const T* d_sum,
                                float rstd, const Weight& weight, const Sums& sums) {
  const float dot = SumVectors(d, width, [&](size_t i, auto lanes, auto acc) TL_SIMD_BODY {
    const auto g = hn::Mul(weight(i, lanes), LoadF(d, dy + i, lanes));
    return hn::MulAdd(g, LoadF(d, x + i, lanes), acc);
  });
  const auto factor = hn::Set(d, rstd);
  const auto along = hn::Set(d, rstd * rstd * dot / static_cast<float>(width));
  const auto visit = [&](auto with_sum) TL_SIMD_BODY {
    ForVectors(d, width, [&](size_t i, auto lanes) TL_SIMD_BODY {
      const auto h = LoadF(d, x + i, lanes);
      const auto g = LoadF(d, dy + i, lanes);
      sums(i, lanes, g, hn::Mul(h, factor));
      auto out = hn::NegMulAdd(h, along, hn::Mul(weight(i, lanes), g));
      if constexpr (with_sum) {
        out = hn::MulAdd(out, factor, LoadF(d, d_sum + i, lanes));
      } else {
        out = hn::Mul(out, factor);
      }
      StoreF(d, out, dx + i, lanes);
    });
  };
  d_sum != nullptr ? visit(std::true_type{}) : visit(std::false_type{});
}

// The `sums` of a pass that wants none.
struct NoSums {
  template <class... A>
  HWY_INLINE void operator()(const A&...) const {}
};

}  // namespace tl::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
