// SPDX-License-Identifier: Apache-2.0
#include "kernels/swiglu.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/swiglu.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h.
#include "kernels/cpu/common.h"
#include "kernels/cpu/sigmoid-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tl::cpu::HWY_NAMESPACE {

template <typename T>
void ForwardRows(const SwigluArgs& args, int64_t begin, int64_t end) {
  const hn::ScalableTag<float> d;
  const int64_t width = args.y.shape[1];
  const Rows<T> ys(args.y), gate_ups(args.gate_up);
  for (int64_t row = begin; row < end; ++row) {
    const T* gate = gate_ups[row];
    const T* up = gate + width;
    T* y = ys[row];
    ForVectors(d, width, [&](size_t i, auto lanes) TL_SIMD_BODY {
      const auto g = LoadF(d, gate + i, lanes);
      const auto silu = hn::Mul(g, Sigmoid(d, g));
      StoreF(d, hn::Mul(silu, LoadF(d, up + i, lanes)), y + i, lanes);
    });
  }
}

template <typename T>
void BackwardRows(const SwigluBackwardArgs& args, int64_t begin, int64_t end) {
  const hn::ScalableTag<float> d;
  const auto one = hn::Set(d, 1.0f);
  const int64_t width = args.dy.shape[1];
  const Rows<T> dys(args.dy), gate_ups(args.gate_up), d_gate_ups(args.d_gate_up);
  for (int64_t row = begin; row < end; ++row) {
    const T* gate = gate_ups[row];
    const T* dy = dys[row];
    T* d_gate = d_gate_ups[row];
    ForVectors(d, width, [&](size_t i, auto lanes) TL_SIMD_BODY {
      const auto g = LoadF(d, gate + i, lanes);
      const auto u = LoadF(d, gate + width + i, lanes);
      const auto dout = LoadF(d, dy + i, lanes);
      const auto s = Sigmoid(d, g);
      const auto silu = hn::Mul(g, s);
      const auto slope = hn::MulAdd(silu, hn::Sub(one, s), s);
      StoreF(d, hn::Mul(hn::Mul(dout, u), slope), d_gate + i, lanes);
      StoreF(d, hn::Mul(dout, silu), d_gate + width + i, lanes);
    });
  }
}

void SwigluRange(const SwigluArgs& args, int64_t begin, int64_t end) {
  WithFloatType(args.y.dtype, [&](auto t) { ForwardRows<decltype(t)>(args, begin, end); });
}

void SwigluBackwardRange(const SwigluBackwardArgs& args, int64_t begin, int64_t end) {
  WithFloatType(args.dy.dtype, [&](auto t) { BackwardRows<decltype(t)>(args, begin, end); });
}

}  // namespace tl::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tl::cpu {

HWY_EXPORT(SwigluRange);
HWY_EXPORT(SwigluBackwardRange);

void Swiglu(Stream&, const SwigluArgs& args) {
  const int64_t rows = args.y.shape[0];
  ParallelRanges(rows, ThreadsFor(3 * args.y.bytes()), 1, [&](int, int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(SwigluRange)(args, begin, end);
  });
}

void SwigluBackward(Stream&, const SwigluBackwardArgs& args) {
  const int64_t rows = args.dy.shape[0];
  ParallelRanges(rows, ThreadsFor(5 * args.dy.bytes()), 1, [&](int, int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(SwigluBackwardRange)(args, begin, end);
  });
}

}  // namespace tl::cpu
#endif
