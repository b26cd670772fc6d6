// SPDX-License-Identifier: Apache-2.0
#include "kernels/rope.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/rope.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h.
#include "kernels/cpu/common.h"
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tl::cpu::HWY_NAMESPACE {

template <typename T>
void RopeRows(const RopeArgs& args, int64_t begin, int64_t end) {
  const hn::ScalableTag<float> d;
  const int64_t heads = args.x.shape[1], half = args.x.shape[2] / 2;
  const int64_t row_stride = args.x.strides[0], head_stride = args.x.strides[1];
  const int64_t max_positions = args.table.shape[0];
  const int32_t* positions = args.positions.as<int32_t>();
  const auto sign = hn::Set(d, args.direction == RopeDirection::kForward ? 1.0f : -1.0f);
  for (int64_t row = begin; row < end; ++row) {
    TL_CHECK(0 <= positions[row] && positions[row] < max_positions)
        << "position " << positions[row] << " of " << max_positions;
    const float* cosines = args.table.as<float>() + positions[row] * 2 * half;
    const float* sines = cosines + half;
    for (int64_t head = 0; head < heads; ++head) {
      T* x = args.x.as<T>() + row * row_stride + head * head_stride;
      ForVectors(d, half, [&](size_t j, auto lanes) TL_SIMD_BODY {
        const auto c = LoadF(d, cosines + j, lanes);
        const auto s = hn::Mul(sign, LoadF(d, sines + j, lanes));
        const auto low = LoadF(d, x + j, lanes);
        const auto high = LoadF(d, x + half + j, lanes);
        StoreF(d, hn::NegMulAdd(high, s, hn::Mul(low, c)), x + j, lanes);
        StoreF(d, hn::MulAdd(low, s, hn::Mul(high, c)), x + half + j, lanes);
      });
    }
  }
}

void RopeRange(const RopeArgs& args, int64_t begin, int64_t end) {
  WithFloatType(args.x.dtype, [&](auto t) { RopeRows<decltype(t)>(args, begin, end); });
}

}  // namespace tl::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tl::cpu {

HWY_EXPORT(RopeRange);

void Rope(Stream&, const RopeArgs& args) {
  const int64_t rows = args.x.shape[0];
  ParallelRanges(rows, ThreadsFor(2 * args.x.bytes()), 1, [&](int, int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(RopeRange)(args, begin, end);
  });
}

}  // namespace tl::cpu
#endif
