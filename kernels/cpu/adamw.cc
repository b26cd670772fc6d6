// SPDX-License-Identifier: Apache-2.0
#include "kernels/adamw.h"

#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/adamw.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h.
#include "kernels/cpu/common.h"
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tl::cpu::HWY_NAMESPACE {

// Constants of one update, and where it works.
struct AdamWStep {
  float *p, *m, *v;
  const float* grad;
  float grad_factor, beta1, beta2, lr, eps, decay;
  float correct1, correct2;  // 1 / (1 - beta^t)
  float* ema;
  float ema_rate;
};

// kEma: whether there is an average.
template <bool kEma, typename Write>
HWY_INLINE void Update(const AdamWStep& s, int64_t begin, int64_t end, const Write& write) {
  const hn::ScalableTag<float> d;
  const auto grad_factor = hn::Set(d, s.grad_factor);
  const auto beta1 = hn::Set(d, s.beta1), rest1 = hn::Set(d, 1.0f - s.beta1);
  const auto beta2 = hn::Set(d, s.beta2), rest2 = hn::Set(d, 1.0f - s.beta2);
  const auto correct1 = hn::Set(d, s.correct1), correct2 = hn::Set(d, s.correct2);
  const auto lr = hn::Set(d, s.lr), eps = hn::Set(d, s.eps), decay = hn::Set(d, s.decay);
  const auto ema_rate = hn::Set(d, s.ema_rate);
  ForVectors(d, end - begin, [&](size_t offset, auto lanes) TL_SIMD_BODY {
    const size_t i = begin + offset;
    const auto g = hn::Mul(LoadF(d, s.grad + i, lanes), grad_factor);
    const auto m = hn::MulAdd(beta1, LoadF(d, s.m + i, lanes), hn::Mul(rest1, g));
    const auto v = hn::MulAdd(beta2, LoadF(d, s.v + i, lanes), hn::Mul(rest2, hn::Mul(g, g)));
    const auto old = LoadF(d, s.p + i, lanes);
    const auto root = hn::Add(hn::Sqrt(hn::Mul(v, correct2)), eps);
    const auto step = hn::MulAdd(decay, old, hn::Div(hn::Mul(m, correct1), root));
    const auto p = hn::NegMulAdd(lr, step, old);
    StoreF(d, m, s.m + i, lanes);
    StoreF(d, v, s.v + i, lanes);
    StoreF(d, p, s.p + i, lanes);
    write(d, p, i, lanes);
    if constexpr (kEma) {
      const auto ema = LoadF(d, s.ema + i, lanes);
      StoreF(d, hn::MulAdd(ema_rate, hn::Sub(p, ema), ema), s.ema + i, lanes);
    }
  });
}

void AdamWRange(const AdamWArgs& args, int64_t begin, int64_t end) {
  const StepScalars& scalars = *args.scalars;
  const double t = scalars.adam_step;
  const AdamWStep step = {
      .p = args.p.as<float>(),
      .m = args.m.as<float>(),
      .v = args.v.as<float>(),
      .grad = args.grad.as<float>(),
      .grad_factor = scalars.grad_factor,
      .beta1 = args.beta1,
      .beta2 = args.beta2,
      .lr = scalars.lr * args.lr_scale,
      .eps = args.eps,
      .decay = args.weight_decay,
      .correct1 = static_cast<float>(1.0 / (1.0 - std::pow(double{args.beta1}, t))),
      .correct2 = static_cast<float>(1.0 / (1.0 - std::pow(double{args.beta2}, t))),
      .ema = args.ema ? args.ema.as<float>() : nullptr,
      .ema_rate = scalars.ema_rate,
  };
  const auto update = [&](const auto& write) HWY_ATTR {
    if (step.ema != nullptr) {
      Update<true>(step, begin, end, write);
    } else {
      Update<false>(step, begin, end, write);
    }
  };
  if (!args.weight) {
    update([](auto, auto, size_t, auto) TL_SIMD_BODY {});
    return;
  }
  WithFloatType(args.weight.dtype, [&](auto type) HWY_ATTR {
    auto* weight = args.weight.as<decltype(type)>();
    update([=](auto d, auto p, size_t i, auto lanes)
               TL_SIMD_BODY { StoreF(d, p, weight + i, lanes); });
  });
}

}  // namespace tl::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tl::cpu {

HWY_EXPORT(AdamWRange);

void AdamW(Stream&, const AdamWArgs& args) {
  if (SkipsUpdate(*args.scalars, args.head)) return;
  const int threads = ThreadsFor((args.ema ? 9 : 7) * args.p.bytes());
  ParallelRanges(args.p.elements(), threads, 1024, [&](int, int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(AdamWRange)(args, begin, end);
  });
}

}  // namespace tl::cpu
#endif
