// SPDX-License-Identifier: Apache-2.0
#include "kernels/modulated_norm.h"

#include "kernels/norm.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/modulated_norm.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h.
#include "kernels/cpu/common.h"
#include "kernels/cpu/norm-inl.h"
#include "kernels/cpu/sample_sums.h"

HWY_BEFORE_NAMESPACE();
namespace tl::cpu::HWY_NAMESPACE {

template <typename T>
void ForwardRows(const ModulatedNormArgs& args, int64_t begin, int64_t end) {
  const hn::ScalableTag<float> d;
  const auto one = hn::Set(d, 1.0f);
  const int64_t width = args.x.shape[1];
  float* rstds = args.rstd ? args.rstd.as<float>() : nullptr;
  const Rows<T> xs(args.x), ys(args.y);
  const Rows<float> shifts(args.shift), scales(args.scale);
  const bool add = static_cast<bool>(args.residual), gated = static_cast<bool>(args.gate);
  const Rows<T> residuals(add ? args.residual : args.x), sums(add ? args.sum : args.x);
  const Rows<float> gates(gated ? args.gate : args.scale);
  for (int64_t row = begin; row < end; ++row) {
    const int64_t sample = args.samples.SampleOf(row);
    const T* x = xs[row];
    float squares;
    if (add) {
      const float* gate = gated ? gates[sample] : nullptr;
      squares = AddRows<decltype(d), T>(d, width, sums[row], x, residuals[row], gate);
      x = sums[row];
    } else {
      squares = SumRowSquares(d, width, x);
    }
    const float rstd = InverseRms(squares, width, args.eps);
    if (rstds != nullptr) rstds[row] = rstd;
    T* y = ys[row];
    const float* shift = shifts[sample];
    const float* scale = scales[sample];
    const auto factor = hn::Set(d, rstd);
    ForVectors(d, width, [&](size_t i, auto lanes) TL_SIMD_BODY {
      const auto normed = hn::Mul(LoadF(d, x + i, lanes), factor);
      const auto stretch = hn::Add(one, LoadF(d, scale + i, lanes));
      StoreF(d, hn::MulAdd(normed, stretch, LoadF(d, shift + i, lanes)), y + i, lanes);
    });
  }
}

// Rows of one sample. d_shift, d_scale: added to, or null.
template <typename T>
void BackwardRows(const ModulatedNormBackwardArgs& args, int64_t sample, int64_t begin, int64_t end,
                  float* d_shift, float* d_scale) {
  const hn::ScalableTag<float> d;
  const auto one = hn::Set(d, 1.0f);
  const int64_t width = args.x.shape[1];
  const float* rstds = args.rstd.as<float>();
  const float* scale = Rows<float>(args.scale)[sample];
  const Rows<T> xs(args.x), dys(args.dy), dxs(args.dx);
  const bool add = static_cast<bool>(args.d_sum);
  const Rows<T> d_sums(add ? args.d_sum : args.dy);
  for (int64_t row = begin; row < end; ++row) {
    const T* d_sum = add ? d_sums[row] : nullptr;
    const auto weight = [&](size_t i, auto lanes)
                            TL_SIMD_BODY { return hn::Add(one, LoadF(d, scale + i, lanes)); };
    const auto visit = [&](const auto& sums) TL_SIMD_BODY {
      NormBackwardRow<decltype(d), T>(d, width, dxs[row], dys[row], xs[row], d_sum, rstds[row],
                                      weight, sums);
    };
    if (d_shift == nullptr) {
      visit(NoSums());
      continue;
    }
    visit([&](size_t i, auto lanes, auto g, auto normed) TL_SIMD_BODY {
      StoreF(d, hn::Add(LoadF(d, d_shift + i, lanes), g), d_shift + i, lanes);
      StoreF(d, hn::MulAdd(g, normed, LoadF(d, d_scale + i, lanes)), d_scale + i, lanes);
    });
  }
}

void ModulatedNormRange(const ModulatedNormArgs& args, int64_t begin, int64_t end) {
  WithFloatType(args.x.dtype, [&](auto t) { ForwardRows<decltype(t)>(args, begin, end); });
}

void ModulatedNormBackwardRange(const ModulatedNormBackwardArgs& args, int64_t sample,
                                int64_t begin, int64_t end, float* d_shift, float* d_scale) {
  WithFloatType(args.x.dtype, [&](auto t) {
    BackwardRows<decltype(t)>(args, sample, begin, end, d_shift, d_scale);
  });
}

}  // namespace tl::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tl::cpu {

HWY_EXPORT(ModulatedNormRange);
HWY_EXPORT(ModulatedNormBackwardRange);

void ModulatedNorm(Stream&, const ModulatedNormArgs& args) {
  if (args.x.elements() == 0) return;
  const int threads = ThreadsFor((args.residual ? 4 : 2) * args.x.bytes());
  ParallelRanges(args.x.shape[0], threads, 1, [&](int, int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(ModulatedNormRange)(args, begin, end);
  });
}

void ModulatedNormBackward(Stream& stream, const ModulatedNormBackwardArgs& args) {
  SumBySample<2>(stream, {args.d_shift, args.d_scale}, args.samples, args.x.shape[0],
                 args.x.shape[1], ThreadsFor(3 * args.x.bytes()),
                 [&](int64_t sample, int64_t begin, int64_t end, const auto& sums) {
                   HWY_DYNAMIC_DISPATCH(ModulatedNormBackwardRange)
                   (args, sample, begin, end, sums[0], sums[1]);
                 });
}

}  // namespace tl::cpu
#endif
