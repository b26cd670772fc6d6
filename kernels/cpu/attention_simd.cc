#include "kernels/cpu/attention_simd.h"

#include <cmath>
#include <limits>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/attention_simd.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h.
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
  x = hn::IfThenElse(hn::Lt(x, low), low, x);
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

// Columns [begin, end) of a tile row in whole vectors: those within are visited in full, those that
// stick out with a mask.
struct Span {
  Span(int64_t first, int64_t last, int64_t width, int64_t lanes)
      : begin(std::clamp<int64_t>(first, 0, width)), end(std::clamp<int64_t>(last, 0, width)) {
    outer_begin = begin / lanes * lanes;
    outer_end = (end + lanes - 1) / lanes * lanes;
    inner_begin = (begin + lanes - 1) / lanes * lanes;
    inner_end = end / lanes * lanes;
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
void ZeroOutside(P* row, int64_t width, const Span& span) {
  std::memset(row, 0, static_cast<size_t>(span.outer_begin) * sizeof(P));
  std::memset(row + span.outer_end, 0, static_cast<size_t>(width - span.outer_end) * sizeof(P));
}

template <class D>
HWY_INLINE float MaxOfRow(D d, const float* s, const Span& span, float factor) {
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto f = hn::Set(d, factor);
  const auto lowest = hn::Set(d, -std::numeric_limits<float>::infinity());
  auto m0 = lowest, m1 = lowest, m2 = lowest, m3 = lowest;
  int64_t i = span.inner_begin;
  for (; i + 4 * lanes <= span.inner_end; i += 4 * lanes) {
    m0 = hn::Max(m0, hn::Mul(f, hn::LoadU(d, s + i)));
    m1 = hn::Max(m1, hn::Mul(f, hn::LoadU(d, s + i + lanes)));
    m2 = hn::Max(m2, hn::Mul(f, hn::LoadU(d, s + i + 2 * lanes)));
    m3 = hn::Max(m3, hn::Mul(f, hn::LoadU(d, s + i + 3 * lanes)));
  }
  for (; i < span.inner_end; i += lanes) m0 = hn::Max(m0, hn::Mul(f, hn::LoadU(d, s + i)));
  const auto edge = [&](int64_t at) TL_SIMD_BODY {
    const auto x = hn::Mul(f, hn::LoadU(d, s + at));
    m1 = hn::Max(m1, hn::IfThenElse(InSpan(d, span, at), x, lowest));
  };
  if (span.head) edge(span.outer_begin);
  if (span.tail) edge(span.inner_end);
  return hn::GetLane(hn::MaxOfLanes(d, hn::Max(hn::Max(m0, m1), hn::Max(m2, m3))));
}

template <typename P>
void SoftmaxTileOf(const SoftmaxTileArgs& args) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto factor = hn::Set(d, args.factor);
  for (int64_t row = 0; row < args.rows; ++row) {
    const float* s = args.s + row * args.width;
    P* p = static_cast<P*>(args.p) + row * args.width;
    const Span span(args.lo[row] - args.first_key, args.hi[row] - args.first_key, args.width,
                    lanes);
    if (span.empty()) {
      std::memset(p, 0, static_cast<size_t>(args.width) * sizeof(P));
      continue;
    }
    const float old_max = args.row_max[row];
    const float new_max = std::max(old_max, MaxOfRow(d, s, span, args.factor));
    const auto shift = hn::Set(d, new_max);
    auto sum0 = hn::Zero(d), sum1 = hn::Zero(d);
    const auto whole = [&](int64_t i, hn::Vec<decltype(d)> sum) TL_SIMD_BODY {
      const auto e = Exp2<P>(d, hn::MulSub(factor, hn::LoadU(d, s + i), shift));
      StoreF(d, e, p + i, AllLanes{});
      return hn::Add(sum, e);
    };
    const auto edge = [&](int64_t i) TL_SIMD_BODY {
      const auto e = Exp2<P>(d, hn::MulSub(factor, hn::LoadU(d, s + i), shift));
      const auto kept = hn::IfThenElseZero(InSpan(d, span, i), e);
      StoreF(d, kept, p + i, AllLanes{});
      sum1 = hn::Add(sum1, kept);
    };
    if (span.head) edge(span.outer_begin);
    int64_t i = span.inner_begin;
    for (; i + 2 * lanes <= span.inner_end; i += 2 * lanes) {
      sum0 = whole(i, sum0);
      sum1 = whole(i + lanes, sum1);
    }
    if (i < span.inner_end) sum0 = whole(i, sum0);
    if (span.tail) edge(span.inner_end);
    ZeroOutside(p, args.width, span);
    const float sum = hn::GetLane(hn::SumOfLanes(d, hn::Add(sum0, sum1)));
    if (!(new_max > old_max)) {
      args.row_sum[row] += sum;
      continue;
    }
    // The first tile of a row (old_max = -inf) finds sums of zero.
    const float fade = std::exp2(old_max - new_max);
    args.row_max[row] = new_max;
    args.row_sum[row] = args.row_sum[row] * fade + sum;
    if (fade == 0.0f) continue;
    float* o = args.o + row * args.d;
    const auto fades = hn::Set(d, fade);
    ForVectors(d, static_cast<size_t>(args.d), [&](size_t j, auto n) TL_SIMD_BODY {
      StoreF(d, hn::Mul(fades, LoadF(d, o + j, n)), o + j, n);
    });
  }
}

template <typename P>
void GradTileOf(const GradTileArgs& args) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto factor = hn::Set(d, args.factor);
  for (int64_t row = 0; row < args.rows; ++row) {
    const float* s = args.s + row * args.width;
    const float* dp = args.dp + row * args.width;
    P* p = static_cast<P*>(args.p) + row * args.width;
    P* ds = static_cast<P*>(args.ds) + row * args.width;
    Span span(args.lo[row] - args.first_query, args.hi[row] - args.first_query, args.width, lanes);
    if (span.empty()) {
      std::memset(p, 0, static_cast<size_t>(args.width) * sizeof(P));
      std::memset(ds, 0, static_cast<size_t>(args.width) * sizeof(P));
      continue;
    }
    const auto probability = [&](int64_t i) TL_SIMD_BODY {
      const auto x = hn::MulSub(factor, hn::LoadU(d, s + i), hn::LoadU(d, args.lse2 + i));
      return Exp2<P>(d, x);
    };
    const auto whole = [&](int64_t i) TL_SIMD_BODY {
      const auto e = probability(i);
      const auto g = hn::Mul(e, hn::Sub(hn::LoadU(d, dp + i), hn::LoadU(d, args.delta + i)));
      StoreF(d, e, p + i, AllLanes{});
      StoreF(d, g, ds + i, AllLanes{});
    };
    const auto edge = [&](int64_t i) TL_SIMD_BODY {
      const auto mask = InSpan(d, span, i);
      const auto e = probability(i);
      const auto g = hn::Mul(e, hn::Sub(hn::LoadU(d, dp + i), hn::LoadU(d, args.delta + i)));
      StoreF(d, hn::IfThenElseZero(mask, e), p + i, AllLanes{});
      StoreF(d, hn::IfThenElseZero(mask, g), ds + i, AllLanes{});
    };
    if (span.head) edge(span.outer_begin);
    int64_t i = span.inner_begin;
    for (; i + 2 * lanes <= span.inner_end; i += 2 * lanes) {
      whole(i);
      whole(i + lanes);
    }
    if (i < span.inner_end) whole(i);
    if (span.tail) edge(span.inner_end);
    ZeroOutside(p, args.width, span);
    ZeroOutside(ds, args.width, span);
  }
}

template <typename To, typename From>
void CopyRowsOf(const CopyRowsArgs& args) {
  const hn::ScalableTag<float> d;
  To* dst = static_cast<To*>(args.dst);
  const From* src = static_cast<const From*>(args.src);
  for (int64_t row = 0; row < args.rows; ++row, dst += args.d, src += args.ld) {
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
  for (int64_t row = 0; row < args.rows; ++row, dst += args.ld, src += args.d) {
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
  for (int64_t row = 0; row < args.rows; ++row, a += args.a_ld, b += args.b_ld) {
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
