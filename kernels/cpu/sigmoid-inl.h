// SPDX-License-Identifier: Apache-2.0
// The logistic function in vectors, compiled once per SIMD target.
#if defined(TL_KERNELS_CPU_SIGMOID_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TL_KERNELS_CPU_SIGMOID_INL_H_
#undef TL_KERNELS_CPU_SIGMOID_INL_H_
#else
#define TL_KERNELS_CPU_SIGMOID_INL_H_
#endif

#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tl::cpu::HWY_NAMESPACE {

template <class D>
HWY_INLINE hn::Vec<D> Sigmoid(D d, hn::Vec<D> x) {
  const auto one = hn::Set(d, 1.0f);
  return hn::Div(one, hn::Add(one, Exp(d, hn::Neg(x))));
}

}  // namespace tl::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
