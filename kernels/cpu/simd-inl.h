// SPDX-License-Identifier: Apache-2.0
// Vector helpers shared by the CPU kernels, compiled once per SIMD target: loads as fp32 from fp32,
// bf16 or fp16 memory, stores rounded to nearest even, loops with a short last vector, exp.
#if defined(TL_KERNELS_CPU_SIMD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TL_KERNELS_CPU_SIMD_INL_H_
#undef TL_KERNELS_CPU_SIMD_INL_H_
#else
#define TL_KERNELS_CPU_SIMD_INL_H_
#endif

#include <cstring>
#include <type_traits>

#include "device/dtype.h"
#include "hwy/highway.h"

// Loop bodies must melt into their loops: a call per vector would spill every accumulator.
#undef TL_SIMD_BODY
#define TL_SIMD_BODY HWY_ATTR __attribute__((always_inline))

HWY_BEFORE_NAMESPACE();
namespace tl::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// The last argument of LoadF and StoreF: a whole vector, or (size_t) the first n lanes of one.
struct AllLanes {};

// 16-bit patterns of type T to fp32, and back rounded to nearest even.
template <class D>
HWY_INLINE hn::Vec<D> Widen(D d, hn::Vec<hn::Rebind<uint16_t, D>> bits, BF16) {
  const hn::RebindToUnsigned<D> d32;
  return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(d32, bits)));
}

// Highway's own conversion to bf16 truncates.
template <class D>
HWY_INLINE hn::Vec<hn::Rebind<uint16_t, D>> Narrow(D, hn::Vec<D> v, BF16) {
  const hn::RebindToUnsigned<D> d32;
  const hn::RebindToSigned<D> di32;
  const auto bits = hn::BitCast(d32, v);
  const auto high = hn::ShiftRight<16>(bits);
  const auto odd = hn::And(high, hn::Set(d32, 1u));
  const auto rounded = hn::ShiftRight<16>(hn::Add(bits, hn::Add(odd, hn::Set(d32, 0x7fffu))));
  const auto quiet = hn::Or(high, hn::Set(d32, 0x40u));
  const auto result = hn::IfThenElse(hn::RebindMask(d32, hn::IsNaN(v)), quiet, rounded);
  return hn::DemoteTo(hn::Rebind<uint16_t, D>(), hn::BitCast(di32, result));
}

// Highway's portable fp16 conversions do not treat Inf, NaN and subnormals as IEEE 754 does.
#if HWY_TARGET == HWY_SCALAR
template <class D>
HWY_INLINE hn::Vec<D> Widen(D d, hn::Vec<hn::Rebind<uint16_t, D>> bits, F16) {
  return hn::Set(d, ToFloat(F16{hn::GetLane(bits)}));
}

template <class D>
HWY_INLINE hn::Vec<hn::Rebind<uint16_t, D>> Narrow(D, hn::Vec<D> v, F16) {
  return hn::Set(hn::Rebind<uint16_t, D>(), FromFloat<F16>(hn::GetLane(v)).bits);
}
#else
template <class D>
HWY_INLINE hn::Vec<D> Widen(D d, hn::Vec<hn::Rebind<uint16_t, D>> bits, F16) {
  return hn::PromoteTo(d, hn::BitCast(hn::Rebind<hwy::float16_t, D>(), bits));
}

template <class D>
HWY_INLINE hn::Vec<hn::Rebind<uint16_t, D>> Narrow(D, hn::Vec<D> v, F16) {
  return hn::BitCast(hn::Rebind<uint16_t, D>(), hn::DemoteTo(hn::Rebind<hwy::float16_t, D>(), v));
}
#endif

template <class D>
HWY_INLINE hn::Vec<D> LoadF(D d, const float* p, AllLanes) {
  return hn::LoadU(d, p);
}

template <class D, typename T>
HWY_INLINE hn::Vec<D> LoadF(D d, const T* p, AllLanes) {
  const hn::Rebind<uint16_t, D> d16;
  return Widen(d, hn::LoadU(d16, reinterpret_cast<const uint16_t*>(p)), T{});
}

template <class D>
HWY_INLINE void StoreF(D d, hn::Vec<D> v, float* p, AllLanes) {
  hn::StoreU(v, d, p);
}

template <class D, typename T>
HWY_INLINE void StoreF(D d, hn::Vec<D> v, T* p, AllLanes) {
  const hn::Rebind<uint16_t, D> d16;
  hn::StoreU(Narrow(d, v, T{}), d16, reinterpret_cast<uint16_t*>(p));
}

// The first n lanes; the others read as 0.
template <class D, typename T>
HWY_INLINE hn::Vec<D> LoadF(D d, const T* p, size_t n) {
  T lanes[hn::MaxLanes(d)] = {};
  std::memcpy(lanes, p, n * sizeof(T));
  return LoadF(d, lanes, AllLanes{});
}

template <class D, typename T>
HWY_INLINE void StoreF(D d, hn::Vec<D> v, T* p, size_t n) {
  T lanes[hn::MaxLanes(d)];
  StoreF(d, v, lanes, AllLanes{});
  std::memcpy(p, lanes, n * sizeof(T));
}

// Stores v and returns what reads back.
template <class D, typename T, class L>
HWY_INLINE hn::Vec<D> StoreRounded(D d, hn::Vec<D> v, T* p, L lanes) {
  if constexpr (std::is_same_v<T, float>) {
    StoreF(d, v, p, lanes);
    return v;
  } else {
    const hn::Rebind<uint16_t, D> d16;
    const auto bits = Narrow(d, v, T{});
    if constexpr (std::is_same_v<L, AllLanes>) {
      hn::StoreU(bits, d16, reinterpret_cast<uint16_t*>(p));
    } else {
      uint16_t stored[hn::MaxLanes(d)];
      hn::StoreU(bits, d16, stored);
      std::memcpy(p, stored, lanes * sizeof(T));
    }
    return Widen(d, bits, T{});
  }
}

// body(i, lanes) for every vector of [0, n); lanes is AllLanes, or a count for the last one.
template <class D, class F>
HWY_INLINE void ForVectors(D d, size_t n, const F& body) {
  const size_t width = hn::Lanes(d);
  size_t i = 0;
  for (; i + width <= n; i += width) body(i, AllLanes{});
  if (i < n) body(i, n - i);
}

// The sum over [0, n) that acc = body(i, lanes, acc) gathers, in four interleaved partial sums. On
// a short last vector, body must leave what lies beyond the count unchanged (loads give 0 there).
template <class D, class F>
HWY_INLINE float SumVectors(D d, size_t n, const F& body) {
  const size_t width = hn::Lanes(d);
  auto s0 = hn::Zero(d), s1 = hn::Zero(d), s2 = hn::Zero(d), s3 = hn::Zero(d);
  size_t i = 0;
  for (; i + 4 * width <= n; i += 4 * width) {
    s0 = body(i, AllLanes{}, s0);
    s1 = body(i + width, AllLanes{}, s1);
    s2 = body(i + 2 * width, AllLanes{}, s2);
    s3 = body(i + 3 * width, AllLanes{}, s3);
  }
  for (; i + width <= n; i += width) s0 = body(i, AllLanes{}, s0);
  if (i < n) s1 = body(i, n - i, s1);
  return hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(s0, s1), hn::Add(s2, s3))));
}

// e^x for x <= 88, as in softmax, to about 1 ulp; 0 below 2^-126, NaN of NaN.
template <class D>
HWY_INLINE hn::Vec<D> ExpBounded(D d, hn::Vec<D> x) {
  const hn::RebindToUnsigned<D> d32;
  // At this size an fp32's last digit is 1: the sum's low bits are n = round(x log2 e), plus the
  // exponent's bias, and a shift makes them 2^n.
  const auto magic = hn::Set(d, 12583039.0f);  // 1.5 x 2^23 + 127
  const auto shifted = hn::MulAdd(x, hn::Set(d, 1.44269504f), magic);
  const auto scale = hn::BitCast(d, hn::ShiftLeft<23>(hn::BitCast(d32, shifted)));
  const auto n = hn::Sub(shifted, magic);
  // ln 2 in two parts, so that n ln 2 is exact enough to leave r = x - n ln 2 its digits.
  auto r = hn::NegMulAdd(n, hn::Set(d, 0.693145752f), x);
  r = hn::NegMulAdd(n, hn::Set(d, 1.42860677e-6f), r);
  auto p = hn::MulAdd(r, hn::Set(d, 1.3926184e-3f), hn::Set(d, 8.3631791e-3f));
  p = hn::MulAdd(r, p, hn::Set(d, 4.1666555e-2f));
  p = hn::MulAdd(r, p, hn::Set(d, 1.6666577e-1f));
  p = hn::MulAdd(r, p, hn::Set(d, 0.5f));
  p = hn::MulAdd(hn::Mul(r, r), p, r);
  p = hn::Add(p, hn::Set(d, 1.0f));
  return hn::IfThenZeroElse(hn::Lt(x, hn::Set(d, -87.3365f)), hn::Mul(p, scale));
}

// e^x for any x: as ExpBounded, and +Inf above 2^127.5.
template <class D>
HWY_INLINE hn::Vec<D> Exp(D d, hn::Vec<D> x) {
  const auto inf = hn::BitCast(d, hn::Set(hn::RebindToUnsigned<D>(), 0x7f800000u));
  return hn::IfThenElse(hn::Gt(x, hn::Set(d, 88.3762f)), inf, ExpBounded(d, x));
}

}  // namespace tl::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
