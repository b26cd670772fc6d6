// SPDX-License-Identifier: Apache-2.0
#include "kernels/distill.h"

#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/distill.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h.
#include "kernels/cpu/common.h"
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tl::cpu::HWY_NAMESPACE {

template <class D>
HWY_INLINE hn::Vec<D> FirstLanes(D, hn::Vec<D> v, AllLanes) {
  return v;
}
template <class D>
HWY_INLINE hn::Vec<D> FirstLanes(D d, hn::Vec<D> v, size_t n) {
  return hn::IfThenElseZero(hn::FirstN(d, n), v);
}

template <typename T>
void DistillRows(const DistillArgs& args, int64_t begin, int64_t end) {
  const hn::ScalableTag<float> d;
  const int64_t width = args.logits.shape[1];
  const int32_t* targets = args.targets.as<int32_t>();
  float* losses = args.loss.as<float>();
  const float scale = *args.grad_scale.as<float>();
  const auto scales = hn::Set(d, scale);
  const Rows<float> logits(args.logits), teachers(args.teacher);
  const Rows<T> d_logits(args.d_logits);
  for (int64_t n = begin; n < end; ++n) {
    T* dz = d_logits[n];
    if (targets[n] < 0) {
      std::memset(dz, 0, width * sizeof(T));
      losses[n] = 0.0f;
      continue;
    }
    const float* z = logits[n];
    const float* t = teachers[n];
    const float row_lse = args.lse.as<float>()[n];
    const auto lse = hn::Set(d, row_lse);
    const auto teacher_lse = hn::Set(d, args.teacher_lse.as<float>()[n]);
    const auto factors = hn::Set(d, scale * (1.0f + 2.0f * args.z_loss * row_lse));
    const float divergence =
        SumVectors(d, args.valid, [&](size_t i, auto lanes, auto sum) TL_SIMD_BODY {
          const auto log_p = hn::Sub(LoadF(d, z + i, lanes), lse);
          const auto log_q = hn::Sub(LoadF(d, t + i, lanes), teacher_lse);
          const auto p = ExpBounded(d, log_p), q = ExpBounded(d, log_q);
          StoreF(d, hn::MulSub(p, factors, hn::Mul(q, scales)), dz + i, lanes);
          return hn::Add(sum, FirstLanes(d, hn::Mul(q, hn::Sub(log_q, log_p)), lanes));
        });
    losses[n] = divergence + (args.begin == 0 ? args.z_loss * row_lse * row_lse : 0.0f);
    std::memset(dz + args.valid, 0, (width - args.valid) * sizeof(T));
  }
}

void DistillRange(const DistillArgs& args, int64_t begin, int64_t end) {
  WithFloatType(args.d_logits.dtype, [&](auto t) { DistillRows<decltype(t)>(args, begin, end); });
}

}  // namespace tl::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tl::cpu {

HWY_EXPORT(DistillRange);

void Distill(Stream&, const DistillArgs& args) {
  const int64_t rows = args.logits.shape[0];
  const int64_t bytes = 2 * args.logits.bytes() + args.d_logits.bytes();
  ParallelRanges(rows, ThreadsFor(bytes), 1, [&](int, int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(DistillRange)(args, begin, end);
  });
}

}  // namespace tl::cpu
#endif
