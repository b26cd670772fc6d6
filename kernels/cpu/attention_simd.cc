// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/attention_simd.h"

#include <cmath>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/attention_simd.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h.
#include "hwy/cache_control.h"
#include "kernels/cpu/common.h"
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tl::cpu::HWY_NAMESPACE {

// 2^x for x <= 127, flushed to 2^-126 below; NaN of NaN. Relative error 1.2e-7, or 2.6e-6 where the
// result will be rounded to bf16.
template <typename P, class D>
HWY_INLINE hn::Vec<D> Exp2(D d, hn::Vec<D> x) {
  const hn::RebindToSigned<D> di;
  const auto low = hn::Set(d, -126.0f);
#if HWY_ARCH_X86 && HWY_TARGET != HWY_SCALAR
  x = hn::Max(low, x);  // gives its second operand where one is NaN
#else
  x = hn::IfThenElse(hn::Lt(x, low), low, x);
#endif
  // Adding 1.5 * 2^23 + 127 rounds to an integer and leaves its exponent bits lowest.
  const auto magic = hn::Set(d, 12582912.0f + 127.0f);
  const auto shifted = hn::Add(x, magic);
  const auto r = hn::Sub(x, hn::Sub(shifted, magic));
  const auto power = hn::BitCast(d, hn::ShiftLeft<23>(hn::BitCast(di, shifted)));
  auto p = hn::Zero(d);
  if constexpr (std::is_same_v<P, float>) {
    p = hn::MulAdd(r, hn::Set(d, 0x1.5c08e4p-10f), hn::Set(d, 0x1.3d0c52p-7f));
    p = hn::MulAdd(p, r, hn::Set(d, 0x1.c6b6e4p-5f));
    p = hn::MulAdd(p, r, hn::Set(d, 0x1.ebf918p-3f));
    p = hn::MulAdd(p, r, hn::Set(d, 0x1.62e428p-1f));
    p = hn::MulAdd(p, r, hn::Set(d, 1.0f));
  } else {
    p = hn::MulAdd(r, hn::Set(d, 0x1.3997d6p-7f), hn::Set(d, 0x1.ca1440p-5f));
    p = hn::MulAdd(p, r, hn::Set(d, 0x1.ec06dap-3f));
    p = hn::MulAdd(p, r, hn::Set(d, 0x1.62e0dcp-1f));
    p = hn::MulAdd(p, r, hn::Set(d, 0x1.ffffe8p-1f));
  }
  return hn::Mul(p, power);
}

// Results are written over what they come from; narrower ones close up at the front, never further
// than the loads have come.
//
// Tile widths are multiples of 32, so that pairs of these vectors fill every row.
using TileTag = hn::CappedTag<float, 16>;

template <class D>
HWY_INLINE void StorePair(D d, hn::Vec<D> low, hn::Vec<D> high, float* p) {
  hn::StoreU(low, d, p);
  hn::StoreU(high, d, p + hn::Lanes(d));
}

// Rounds to the nearest bf16, ties away from zero: half a unit is added and the upper half kept. A
// NaN stays one because these NaNs come from bf16 inputs and have no low bits that could carry.
template <class D>
HWY_INLINE void StorePair([[maybe_unused]] D d, hn::Vec<D> low, hn::Vec<D> high, BF16* p) {
#if HWY_TARGET == HWY_SCALAR
  StoreF(d, low, p, AllLanes{});
  StoreF(d, high, p + 1, AllLanes{});
#else
  const hn::RebindToUnsigned<D> d32;
  const hn::Repartition<uint16_t, D> d16;
  const auto half = hn::Set(d32, 0x8000u);
  const auto upper = hn::ConcatOdd(d16, hn::BitCast(d16, hn::Add(hn::BitCast(d32, high), half)),
                                   hn::BitCast(d16, hn::Add(hn::BitCast(d32, low), half)));
  hn::StoreU(upper, d16, reinterpret_cast<uint16_t*>(p));
#endif
}

// Columns [begin, end) of a tile row in whole pairs of vectors: pairs within [inner_begin,
// inner_end) are visited in full, those that stick out (head, tail) with a mask.
struct Span {
  Span(int64_t first, int64_t last, int64_t width, int64_t pair)
      : begin(std::clamp<int64_t>(first, 0, width)), end(std::clamp<int64_t>(last, 0, width)) {
    outer_begin = begin / pair * pair;
    outer_end = (end + pair - 1) / pair * pair;
    inner_begin = (begin + pair - 1) / pair * pair;
    inner_end = end / pair * pair;
    head = outer_begin < inner_begin;
    tail = inner_end < outer_end && !(head && inner_end == outer_begin);
  }
  bool empty() const { return begin >= end; }
  int64_t begin, end, outer_begin, outer_end, inner_begin, inner_end;
  bool head, tail;
};

template <class D>
HWY_INLINE hn::Mask<D> InSpan(D d, const Span& span, int64_t i) {
  const auto column = hn::Iota(d, static_cast<float>(i));
  return hn::And(hn::Ge(column, hn::Set(d, static_cast<float>(span.begin))),
                 hn::Lt(column, hn::Set(d, static_cast<float>(span.end))));
}

template <typename P>
HWY_INLINE void ZeroOutside(P* row, int64_t width, const Span& span) {
  if (span.outer_begin > 0) std::memset(row, 0, static_cast<size_t>(span.outer_begin) * sizeof(P));
  if (span.outer_end < width)
    std::memset(row + span.outer_end, 0, static_cast<size_t>(width - span.outer_end) * sizeof(P));
}

// max of factor * s over a span that is not empty.
template <class D>
HWY_INLINE float MaxOfRow(D d, const float* s, const Span& span, float factor) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto f = hn::Set(d, factor);
  const auto lowest = hn::Set(d, -std::numeric_limits<float>::infinity());
  auto m0 = lowest, m1 = lowest;
  for (int64_t i = span.inner_begin; i < span.inner_end; i += 2 * lanes) {
    m0 = hn::Max(m0, hn::Mul(f, hn::LoadU(d, s + i)));
    m1 = hn::Max(m1, hn::Mul(f, hn::LoadU(d, s + i + lanes)));
  }
  const auto edge = [&](int64_t i) TL_SIMD_BODY {
    const auto x0 = hn::Mul(f, hn::LoadU(d, s + i));
    const auto x1 = hn::Mul(f, hn::LoadU(d, s + i + lanes));
    m0 = hn::Max(m0, hn::IfThenElse(InSpan(d, span, i), x0, lowest));
    m1 = hn::Max(m1, hn::IfThenElse(InSpan(d, span, i + lanes), x1, lowest));
  };
  if (span.head) edge(span.outer_begin);
  if (span.tail) edge(span.inner_end);
  return hn::GetLane(hn::MaxOfLanes(d, hn::Max(m0, m1)));
}

// A row's shift follows its maximum only when that has grown by more than this: probabilities up to
// 2^8 lose nothing, and rescaling becomes rare.
constexpr float kShiftSlack = 8.0f;

// Moves a row's shift to a new maximum, and with it what was summed under the old one.
inline void Rescale(const SoftmaxTileArgs& args, int64_t row, float shift) {
  const float old_shift = args.row_shift[row];
  args.row_shift[row] = shift;
  if (std::isinf(old_shift)) return;  // the row's first keys: nothing is summed yet
  const float fade = std::exp2(old_shift - shift);
  args.row_sum[row] *= fade;
  for (int64_t j = 0; j < args.d; ++j) args.o[row * args.d + j] *= fade;
}

template <typename P>
void SoftmaxTileOf(const SoftmaxTileArgs& args) {
  const TileTag d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto factor = hn::Set(d, args.factor);
  for (int64_t row = 0; row < args.rows; ++row) {
    const float* s = args.s + row * args.width;
    P* p = reinterpret_cast<P*>(args.s) + row * args.width;
    const Span span(args.lo[row] - args.first_key, args.hi[row] - args.first_key, args.width,
                    2 * lanes);
    if (span.empty()) {
      std::memset(p, 0, static_cast<size_t>(args.width) * sizeof(P));
      continue;
    }
    const float max = MaxOfRow(d, s, span, args.factor);
    if (max > args.row_shift[row] + kShiftSlack) Rescale(args, row, max);
    const auto shift = hn::Set(d, args.row_shift[row]);
    auto sum0 = hn::Zero(d), sum1 = hn::Zero(d);
    const auto probability = [&](int64_t i) TL_SIMD_BODY {
      return Exp2<P>(d, hn::MulSub(factor, hn::LoadU(d, s + i), shift));
    };
    const auto edge = [&](int64_t i) TL_SIMD_BODY {
      const auto e0 = hn::IfThenElseZero(InSpan(d, span, i), probability(i));
      const auto e1 = hn::IfThenElseZero(InSpan(d, span, i + lanes), probability(i + lanes));
      StorePair(d, e0, e1, p + i);
      sum0 = hn::Add(sum0, e0);
      sum1 = hn::Add(sum1, e1);
    };
    if (span.head) edge(span.outer_begin);
    for (int64_t i = span.inner_begin; i < span.inner_end; i += 2 * lanes) {
      const auto e0 = probability(i), e1 = probability(i + lanes);
      StorePair(d, e0, e1, p + i);
      sum0 = hn::Add(sum0, e0);
      sum1 = hn::Add(sum1, e1);
    }
    if (span.tail) edge(span.inner_end);
    ZeroOutside(p, args.width, span);
    args.row_sum[row] += hn::GetLane(hn::SumOfLanes(d, hn::Add(sum0, sum1)));
  }
}

template <typename P>
void GradTileOf(const GradTileArgs& args) {
  const TileTag d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto factor = hn::Set(d, args.factor);
  for (int64_t row = 0; row < args.rows; ++row) {
    const float* s = args.s + row * args.width;
    const float* dp = args.dp + row * args.width;
    P* p = reinterpret_cast<P*>(args.s) + row * args.width;
    P* ds = reinterpret_cast<P*>(args.dp) + row * args.width;
    const Span span(args.lo[row] - args.first_query, args.hi[row] - args.first_query, args.width,
                    2 * lanes);
    if (span.empty()) {
      std::memset(p, 0, static_cast<size_t>(args.width) * sizeof(P));
      std::memset(ds, 0, static_cast<size_t>(args.width) * sizeof(P));
      continue;
    }
    const auto probability = [&](int64_t i) TL_SIMD_BODY {
      return Exp2<P>(d, hn::MulSub(factor, hn::LoadU(d, s + i), hn::LoadU(d, args.lse2 + i)));
    };
    const auto gradient = [&](int64_t i, hn::Vec<TileTag> e) TL_SIMD_BODY {
      return hn::Mul(e, hn::Sub(hn::LoadU(d, dp + i), hn::LoadU(d, args.delta + i)));
    };
    const auto edge = [&](int64_t i) TL_SIMD_BODY {
      const auto m0 = InSpan(d, span, i), m1 = InSpan(d, span, i + lanes);
      const auto e0 = probability(i), e1 = probability(i + lanes);
      const auto g0 = gradient(i, e0), g1 = gradient(i + lanes, e1);
      StorePair(d, hn::IfThenElseZero(m0, e0), hn::IfThenElseZero(m1, e1), p + i);
      StorePair(d, hn::IfThenElseZero(m0, g0), hn::IfThenElseZero(m1, g1), ds + i);
    };
    if (span.head) edge(span.outer_begin);
    for (int64_t i = span.inner_begin; i < span.inner_end; i += 2 * lanes) {
      const auto e0 = probability(i), e1 = probability(i + lanes);
      const auto g0 = gradient(i, e0), g1 = gradient(i + lanes, e1);
      StorePair(d, e0, e1, p + i);
      StorePair(d, g0, g1, ds + i);
    }
    if (span.tail) edge(span.inner_end);
    ZeroOutside(p, args.width, span);
    ZeroOutside(ds, args.width, span);
  }
}

// Rows of one head lie pages apart, where hardware does not prefetch.
template <typename T>
HWY_INLINE void PrefetchRow(const T* base, int64_t ld, int64_t row, int64_t rows, int64_t d) {
  constexpr int64_t kAhead = 12;
  constexpr int64_t kLine = 64 / static_cast<int64_t>(sizeof(T));
  const T* p = base + std::min(row + kAhead, rows - 1) * ld;
  for (int64_t j = 0; j < d; j += kLine) hwy::Prefetch(p + j);
}

template <typename To, typename From>
void CopyRowsOf(const CopyRowsArgs& args) {
  const hn::ScalableTag<float> d;
  To* dst = static_cast<To*>(args.dst);
  const From* src = static_cast<const From*>(args.src);
  const From* base = src;
  for (int64_t row = 0; row < args.rows; ++row, dst += args.d, src += args.ld) {
    PrefetchRow(base, args.ld, row, args.rows, args.d);
    if constexpr (std::is_same_v<To, From>) {
      std::memcpy(dst, src, static_cast<size_t>(args.d) * sizeof(To));
    } else {
      ForVectors(d, static_cast<size_t>(args.d), [&](size_t j, auto n) TL_SIMD_BODY {
        StoreF(d, LoadF(d, src + j, n), dst + j, n);
      });
    }
  }
  std::memset(dst, 0, static_cast<size_t>((args.padded_rows - args.rows) * args.d) * sizeof(To));
}

template <typename To>
void StoreRowsOf(const StoreRowsArgs& args) {
  const hn::ScalableTag<float> d;
  To* dst = static_cast<To*>(args.dst);
  const float* src = args.src;
  const To* base = dst;
  for (int64_t row = 0; row < args.rows; ++row, dst += args.ld, src += args.d) {
    PrefetchRow(base, args.ld, row, args.rows, args.d);
    const auto factor = hn::Set(d, args.factors != nullptr ? args.factors[row] : args.factor);
    ForVectors(d, static_cast<size_t>(args.d), [&](size_t j, auto n) TL_SIMD_BODY {
      StoreF(d, hn::Mul(factor, LoadF(d, src + j, n)), dst + j, n);
    });
  }
}

template <typename T>
void RowDotsOf(const RowDotsArgs& args) {
  const hn::ScalableTag<float> d;
  const T* a = static_cast<const T*>(args.a);
  const T* b = static_cast<const T*>(args.b);
  const T *a_base = a, *b_base = b;
  for (int64_t row = 0; row < args.rows; ++row, a += args.a_ld, b += args.b_ld) {
    PrefetchRow(a_base, args.a_ld, row, args.rows, args.d);
    PrefetchRow(b_base, args.b_ld, row, args.rows, args.d);
    args.out[row] =
        SumVectors(d, static_cast<size_t>(args.d), [&](size_t j, auto n, auto acc) TL_SIMD_BODY {
          return hn::MulAdd(LoadF(d, a + j, n), LoadF(d, b + j, n), acc);
        });
  }
}

void SoftmaxTileAny(const SoftmaxTileArgs& args) {
  args.type == DType::kBF16 ? SoftmaxTileOf<BF16>(args) : SoftmaxTileOf<float>(args);
}
void GradTileAny(const GradTileArgs& args) {
  args.type == DType::kBF16 ? GradTileOf<BF16>(args) : GradTileOf<float>(args);
}
void CopyRowsAny(const CopyRowsArgs& args) {
  if (args.to == DType::kBF16) return CopyRowsOf<BF16, BF16>(args);
  WithFloatType(args.from, [&](auto t) { CopyRowsOf<float, decltype(t)>(args); });
}
void StoreRowsAny(const StoreRowsArgs& args) {
  WithFloatType(args.to, [&](auto t) { StoreRowsOf<decltype(t)>(args); });
}
void RowDotsAny(const RowDotsArgs& args) {
  WithFloatType(args.dtype, [&](auto t) { RowDotsOf<decltype(t)>(args); });
}

}  // namespace tl::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tl::cpu {

HWY_EXPORT(SoftmaxTileAny);
HWY_EXPORT(GradTileAny);
HWY_EXPORT(CopyRowsAny);
HWY_EXPORT(StoreRowsAny);
HWY_EXPORT(RowDotsAny);

void SoftmaxTile(const SoftmaxTileArgs& args) { HWY_DYNAMIC_DISPATCH(SoftmaxTileAny)(args); }
void GradTile(const GradTileArgs& args) { HWY_DYNAMIC_DISPATCH(GradTileAny)(args); }
void CopyRows(const CopyRowsArgs& args) { HWY_DYNAMIC_DISPATCH(CopyRowsAny)(args); }
void StoreRows(const StoreRowsArgs& args) { HWY_DYNAMIC_DISPATCH(StoreRowsAny)(args); }
void RowDots(const RowDotsArgs& args) { HWY_DYNAMIC_DISPATCH(RowDotsAny)(args); }

}  // namespace tl::cpu
#endif
