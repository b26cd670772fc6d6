// SPDX-License-Identifier: Apache-2.0
#include "kernels/norm.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/norm.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h.
#include "kernels/cpu/common.h"
#include "kernels/cpu/norm-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tl::cpu::HWY_NAMESPACE {

template <typename T>
void ForwardRows(const RmsNormArgs& args, int64_t begin, int64_t end) {
  const hn::ScalableTag<float> d;
  const int64_t width = args.x.shape[-1];
  const T* w = args.w.as<T>();
  float* rstds = args.rstd ? args.rstd.as<float>() : nullptr;
  const Rows<T> xs(args.x), ys(args.y);
  const bool add = static_cast<bool>(args.residual);
  const Rows<T> residuals(add ? args.residual : args.x), sums(add ? args.sum : args.x);
  for (int64_t row = begin; row < end; ++row) {
    const T* x = xs[row];
    float squares;
    if (add) {
      squares = AddRows<decltype(d), T>(d, width, sums[row], x, residuals[row], nullptr);
      x = sums[row];
    } else {
      squares = SumRowSquares(d, width, x);
    }
    const float rstd = InverseRms(squares, width, args.eps);
    if (rstds != nullptr) rstds[row] = rstd;
    T* y = ys[row];
    const auto factor = hn::Set(d, rstd);
    ForVectors(d, width, [&](size_t i, auto lanes) TL_SIMD_BODY {
      const auto h = LoadF(d, x + i, lanes);
      StoreF(d, hn::Mul(hn::Mul(h, factor), LoadF(d, w + i, lanes)), y + i, lanes);
    });
  }
}

// dw: this range's own partial sums, or null.
template <typename T>
void BackwardRows(const RmsNormBackwardArgs& args, float* dw, int64_t begin, int64_t end) {
  const hn::ScalableTag<float> d;
  const int64_t width = args.x.shape[-1];
  const T* w = args.w.as<T>();
  const float* rstds = args.rstd.as<float>();
  const Rows<T> xs(args.x), dys(args.dy), dxs(args.dx);
  const bool add = static_cast<bool>(args.d_sum);
  const Rows<T> d_sums(add ? args.d_sum : args.dy);
  for (int64_t row = begin; row < end; ++row) {
    const T* d_sum = add ? d_sums[row] : nullptr;
    const auto weight = [&](size_t i, auto lanes) TL_SIMD_BODY { return LoadF(d, w + i, lanes); };
    const auto visit = [&](const auto& sums) TL_SIMD_BODY {
      NormBackwardRow<decltype(d), T>(d, width, dxs[row], dys[row], xs[row], d_sum, rstds[row],
                                      weight, sums);
    };
    if (dw == nullptr) {
      visit(NoSums());
      continue;
    }
    visit([&](size_t i, auto lanes, auto g, auto normed) TL_SIMD_BODY {
      StoreF(d, hn::MulAdd(g, normed, LoadF(d, dw + i, lanes)), dw + i, lanes);
    });
  }
}

void RmsNormRange(const RmsNormArgs& args, int64_t begin, int64_t end) {
  WithFloatType(args.x.dtype, [&](auto t) { ForwardRows<decltype(t)>(args, begin, end); });
}

void RmsNormBackwardRange(const RmsNormBackwardArgs& args, float* dw, int64_t begin, int64_t end) {
  WithFloatType(args.x.dtype, [&](auto t) { BackwardRows<decltype(t)>(args, dw, begin, end); });
}

}  // namespace tl::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tl::cpu {

HWY_EXPORT(RmsNormRange);
HWY_EXPORT(RmsNormBackwardRange);

void RmsNorm(Stream&, const RmsNormArgs& args) {
  if (args.x.elements() == 0) return;
  const int64_t rows = args.x.elements() / args.x.shape[-1];
  ParallelRanges(rows, ThreadsFor(2 * args.x.bytes()), 1, [&](int, int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(RmsNormRange)(args, begin, end);
  });
}

void RmsNormBackward(Stream& stream, const RmsNormBackwardArgs& args) {
  const int64_t width = args.x.shape[-1];
  const int64_t rows = width == 0 ? 0 : args.x.elements() / width;

  const int threads = static_cast<int>(std::min<int64_t>(ThreadsFor(3 * args.x.bytes()), rows));
  const int64_t stride = (width + 15) / 16 * 16;  // threads do not share a cache line
  float* partials = nullptr;
  if (args.dw) {
    const size_t bytes = sizeof(float) * static_cast<size_t>(threads * stride);
    partials = reinterpret_cast<float*>(stream.Scratch(bytes));
    std::fill_n(partials, threads * stride, 0.0f);
  }
  ParallelRanges(rows, threads, 1, [&](int part, int64_t begin, int64_t end) {
    float* dw = partials == nullptr ? nullptr : partials + part * stride;
    HWY_DYNAMIC_DISPATCH(RmsNormBackwardRange)(args, dw, begin, end);
  });
  if (!args.dw) return;
  float* dw = args.dw.as<float>();
  for (int64_t j = 0; j < width; ++j) {
    float sum = args.accumulate_dw ? dw[j] : 0.0f;
    for (int part = 0; part < threads; ++part) sum += partials[part * stride + j];
    dw[j] = sum;
  }
}

}  // namespace tl::cpu
#endif
