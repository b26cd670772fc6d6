// SPDX-License-Identifier: Apache-2.0
#include "kernels/residual_silu.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/residual_silu.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h.
#include "kernels/cpu/common.h"
#include "kernels/cpu/sigmoid-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tl::cpu::HWY_NAMESPACE {

void ResidualSiluRange(const ResidualSiluArgs& args, int64_t begin, int64_t end) {
  const hn::ScalableTag<float> d;
  WithFloatType(args.y.dtype, [&](auto type) {
    using T = decltype(type);
    const T* x = args.x ? args.x.as<T>() + begin : nullptr;
    const T* a = args.a.as<T>() + begin;
    T* y = args.y.as<T>() + begin;
    const auto visit = [&](auto with_x) TL_SIMD_BODY {
      ForVectors(d, end - begin, [&](size_t i, auto lanes) TL_SIMD_BODY {
        const auto v = LoadF(d, a + i, lanes);
        auto out = hn::Zero(d);
        if constexpr (with_x) out = LoadF(d, x + i, lanes);
        StoreF(d, hn::MulAdd(v, Sigmoid(d, v), out), y + i, lanes);
      });
    };
    x != nullptr ? visit(std::true_type{}) : visit(std::false_type{});
  });
}

void ResidualSiluBackwardRange(const ResidualSiluBackwardArgs& args, int64_t begin, int64_t end) {
  const hn::ScalableTag<float> d;
  const auto one = hn::Set(d, 1.0f);
  WithFloatType(args.dy.dtype, [&](auto type) {
    using T = decltype(type);
    const T* a = args.a.as<T>() + begin;
    const T* dy = args.dy.as<T>() + begin;
    T* d_a = args.d_a.as<T>() + begin;
    ForVectors(d, end - begin, [&](size_t i, auto lanes) TL_SIMD_BODY {
      const auto v = LoadF(d, a + i, lanes);
      const auto s = Sigmoid(d, v);
      const auto slope = hn::MulAdd(hn::Mul(v, s), hn::Sub(one, s), s);
      StoreF(d, hn::Mul(LoadF(d, dy + i, lanes), slope), d_a + i, lanes);
    });
  });
}

}  // namespace tl::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tl::cpu {
namespace {

constexpr int64_t kGranule = 64;

}  // namespace

HWY_EXPORT(ResidualSiluRange);
HWY_EXPORT(ResidualSiluBackwardRange);

void ResidualSilu(Stream&, const ResidualSiluArgs& args) {
  ParallelRanges(args.y.elements(), ThreadsFor(3 * args.y.bytes()), kGranule,
                 [&](int, int64_t begin, int64_t end) {
                   HWY_DYNAMIC_DISPATCH(ResidualSiluRange)(args, begin, end);
                 });
}

void ResidualSiluBackward(Stream&, const ResidualSiluBackwardArgs& args) {
  ParallelRanges(args.dy.elements(), ThreadsFor(3 * args.dy.bytes()), kGranule,
                 [&](int, int64_t begin, int64_t end) {
                   HWY_DYNAMIC_DISPATCH(ResidualSiluBackwardRange)(args, begin, end);
                 });
}

}  // namespace tl::cpu
#endif
