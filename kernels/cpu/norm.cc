// SPDX-License-Identifier: Apache-2.0
#include "kernels/norm.h"

#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/norm.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h.
#include "kernels/cpu/common.h"
#include "kernels/cpu/simd-inl.h"

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
      const T* residual = residuals[row];
      T* sum = sums[row];
      squares = SumVectors(d, width, [&](size_t i, auto lanes, auto acc) TL_SIMD_BODY {
        const auto exact = hn::Add(LoadF(d, x + i, lanes), LoadF(d, residual + i, lanes));
        const auto h = StoreRounded(d, exact, sum + i, lanes);
        return hn::MulAdd(h, h, acc);
      });
      x = sum;
    } else {
      squares = SumVectors(d, width, [&](size_t i, auto lanes, auto acc) TL_SIMD_BODY {
        const auto h = LoadF(d, x + i, lanes);
        return hn::MulAdd(h, h, acc);
      });
    }
    // Of an infinite sum NaN, not 0; else the difference is 0.
    const float rstd =
        1.0f / std::sqrt(squares / static_cast<float>(width) + args.eps) + (squares - squares);
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
    const T* x = xs[row];
    const T* dy = dys[row];
    const float dot = SumVectors(d, width, [&](size_t i, auto lanes, auto acc) TL_SIMD_BODY {
      const auto wdy = hn::Mul(LoadF(d, w + i, lanes), LoadF(d, dy + i, lanes));
      return hn::MulAdd(wdy, LoadF(d, x + i, lanes), acc);
    });
    const auto rstd = hn::Set(d, rstds[row]);
    const auto along = hn::Set(d, rstds[row] * rstds[row] * dot / static_cast<float>(width));
    T* dx = dxs[row];
    const T* d_sum = d_sums[row];
    const auto visit = [&](auto with_dw, auto with_sum) TL_SIMD_BODY {
      ForVectors(d, width, [&](size_t i, auto lanes) TL_SIMD_BODY {
        const auto h = LoadF(d, x + i, lanes);
        const auto g = LoadF(d, dy + i, lanes);
        if constexpr (with_dw) {
          const auto sum = hn::MulAdd(g, hn::Mul(h, rstd), LoadF(d, dw + i, lanes));
          StoreF(d, sum, dw + i, lanes);
        }
        auto out = hn::NegMulAdd(h, along, hn::Mul(LoadF(d, w + i, lanes), g));
        if constexpr (with_sum) {
          out = hn::MulAdd(out, rstd, LoadF(d, d_sum + i, lanes));
        } else {
          out = hn::Mul(out, rstd);
        }
        StoreF(d, out, dx + i, lanes);
      });
    };
    if (dw != nullptr) {
      add ? visit(std::true_type{}, std::true_type{}) : visit(std::true_type{}, std::false_type{});
    } else {
      add ? visit(std::false_type{}, std::true_type{})
          : visit(std::false_type{}, std::false_type{});
    }
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
