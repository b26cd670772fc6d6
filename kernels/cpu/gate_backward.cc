// SPDX-License-Identifier: Apache-2.0
#include "kernels/gate_backward.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/gate_backward.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h.
#include "kernels/cpu/common.h"
#include "kernels/cpu/sample_sums.h"
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tl::cpu::HWY_NAMESPACE {

// Rows of one sample. d_gate: added to, or null.
template <typename T>
void GateRows(const GateBackwardArgs& args, int64_t sample, int64_t begin, int64_t end,
              float* d_gate) {
  const hn::ScalableTag<float> d;
  const float* gate = Rows<float>(args.gate)[sample];
  const Rows<T> ds(args.d), outs(args.d_residual);
  const Rows<T> residuals(d_gate != nullptr ? args.residual : args.d);
  for (int64_t row = begin; row < end; ++row) {
    const T* in = ds[row];
    const T* residual = residuals[row];
    T* out = outs[row];
    const auto visit = [&](auto with_gate) TL_SIMD_BODY {
      ForVectors(d, args.d.shape[1], [&](size_t i, auto lanes) TL_SIMD_BODY {
        const auto g = LoadF(d, in + i, lanes);
        if constexpr (with_gate) {
          const auto sum =
              hn::MulAdd(g, LoadF(d, residual + i, lanes), LoadF(d, d_gate + i, lanes));
          StoreF(d, sum, d_gate + i, lanes);
        }
        StoreF(d, hn::Mul(g, LoadF(d, gate + i, lanes)), out + i, lanes);
      });
    };
    d_gate != nullptr ? visit(std::true_type{}) : visit(std::false_type{});
  }
}

void GateBackwardRange(const GateBackwardArgs& args, int64_t sample, int64_t begin, int64_t end,
                       float* d_gate) {
  WithFloatType(args.d.dtype,
                [&](auto t) { GateRows<decltype(t)>(args, sample, begin, end, d_gate); });
}

}  // namespace tl::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tl::cpu {

HWY_EXPORT(GateBackwardRange);

void GateBackward(Stream& stream, const GateBackwardArgs& args) {
  SumBySample<1>(stream, {args.d_gate}, args.samples, args.d.shape[0], args.d.shape[1],
                 ThreadsFor(3 * args.d.bytes()),
                 [&](int64_t sample, int64_t begin, int64_t end, const auto& sums) {
                   HWY_DYNAMIC_DISPATCH(GateBackwardRange)(args, sample, begin, end, sums[0]);
                 });
}

}  // namespace tl::cpu
#endif
