// SPDX-License-Identifier: Apache-2.0
#include "kernels/dropout.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/dropout.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h.
#include "kernels/cpu/common.h"
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tl::cpu::HWY_NAMESPACE {

// The 64-bit products of a's lanes with m, which is the same in all, in two halves.
template <class D>
HWY_INLINE void MulWide(D d, hn::Vec<D> a, uint32_t m, hn::Vec<D>* high, hn::Vec<D>* low) {
#if HWY_TARGET == HWY_SCALAR
  const uint64_t product = uint64_t{hn::GetLane(a)} * m;
  *high = hn::Set(d, static_cast<uint32_t>(product >> 32));
  *low = hn::Set(d, static_cast<uint32_t>(product));
#else
  const hn::RepartitionToWide<D> d64;
  const auto factor = hn::Set(d, m);
  const auto even = hn::MulEven(a, factor);
  const auto odd = hn::MulEven(hn::BitCast(d, hn::ShiftRight<32>(hn::BitCast(d64, a))), factor);
  *high = hn::OddEven(hn::BitCast(d, odd), hn::BitCast(d, hn::ShiftRight<32>(even)));
  *low = hn::OddEven(hn::BitCast(d, hn::ShiftLeft<32>(odd)), hn::BitCast(d, even));
#endif
}

// Philox(key, block, row) of a vector's worth of blocks from `block` on, one after the other: as
// 16-bit words they lie in the order of their columns.
template <class D>
HWY_INLINE void PhiloxBlocks(D d, uint64_t key, uint32_t block, uint64_t row,
                             uint16_t* HWY_RESTRICT halves) {
  auto x0 = hn::Iota(d, block), x1 = hn::Zero(d);
  auto x2 = hn::Set(d, static_cast<uint32_t>(row)),
       x3 = hn::Set(d, static_cast<uint32_t>(row >> 32));
  auto k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    hn::Vec<D> high0, low0, high1, low1;
    MulWide(d, x0, 0xD2511F53u, &high0, &low0);
    MulWide(d, x2, 0xCD9E8D57u, &high1, &low1);
    x0 = hn::Xor(hn::Xor(high1, x1), hn::Set(d, k0));
    x2 = hn::Xor(hn::Xor(high0, x3), hn::Set(d, k1));
    x1 = low1;
    x3 = low0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  alignas(64) uint32_t words[4 * hn::MaxLanes(d)];
  hn::StoreInterleaved4(x0, x1, x2, x3, d, words);
  std::memcpy(halves, words, 4 * sizeof(uint32_t) * hn::Lanes(d));
}

template <typename T>
void DropoutRows(const DropoutArgs& args, int64_t begin, int64_t end) {
  const hn::ScalableTag<float> d;
  const hn::RebindToUnsigned<decltype(d)> d32;
  const hn::RebindToSigned<decltype(d)> di32;
  const hn::Rebind<uint16_t, decltype(d)> d16;
  const int64_t columns = args.x.shape[1], chunk = 8 * static_cast<int64_t>(hn::Lanes(d32));
  // The largest that is dropped; -1: none.
  const auto last = hn::Set(di32, static_cast<int32_t>(DropoutThreshold(args.rate)) - 1);
  const auto scale = hn::Set(d, DropoutScale(args.rate));
  uint16_t halves[8 * hn::MaxLanes(d32)];
  for (int64_t row = begin; row < end; ++row) {
    for (int64_t c = 0; c < columns; c += chunk) {
      PhiloxBlocks(d32, args.key, static_cast<uint32_t>(c / 8),
                   static_cast<uint64_t>(args.first_row + row), halves);
      const T* x = args.x.as<T>() + row * columns + c;
      T* y = args.y.as<T>() + row * columns + c;
      ForVectors(d, std::min(chunk, columns - c), [&](size_t i, auto lanes) TL_SIMD_BODY {
        const auto half = hn::PromoteTo(di32, hn::LoadU(d16, halves + i));
        const auto keep = hn::RebindMask(d, hn::Gt(half, last));
        StoreF(d, hn::IfThenElseZero(keep, hn::Mul(LoadF(d, x + i, lanes), scale)), y + i, lanes);
      });
    }
  }
}

void DropoutRange(const DropoutArgs& args, int64_t begin, int64_t end) {
  WithFloatType(args.y.dtype, [&](auto t) { DropoutRows<decltype(t)>(args, begin, end); });
}

}  // namespace tl::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tl::cpu {

HWY_EXPORT(DropoutRange);

void Dropout(Stream&, const DropoutArgs& args) {
  ParallelRanges(args.x.shape[0], ThreadsFor(8 * args.x.bytes()), 1,
                 [&](int, int64_t begin, int64_t end) {
                   HWY_DYNAMIC_DISPATCH(DropoutRange)(args, begin, end);
                 });
}

}  // namespace tl::cpu
#endif
