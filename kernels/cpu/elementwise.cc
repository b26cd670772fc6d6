// SPDX-License-Identifier: Apache-2.0
#include "kernels/elementwise.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/elementwise.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h.
#include "kernels/cpu/common.h"
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tl::cpu::HWY_NAMESPACE {

template <typename To, typename From>
void ConvertFlat(const ConvertArgs& args, int64_t begin, int64_t end) {
  const hn::ScalableTag<float> d;
  const From* src = args.src.as<From>() + begin;
  To* dst = args.dst.as<To>() + begin;
  ForVectors(d, end - begin, [&](size_t i, auto lanes) TL_SIMD_BODY {
    StoreF(d, LoadF(d, src + i, lanes), dst + i, lanes);
  });
}

template <typename T>
void AddFlat(const AddArgs& args, int64_t begin, int64_t end) {
  const hn::ScalableTag<float> d;
  const T* a = args.a.as<T>() + begin;
  const T* b = args.b.as<T>() + begin;
  T* out = args.out.as<T>() + begin;
  ForVectors(d, end - begin, [&](size_t i, auto lanes) TL_SIMD_BODY {
    StoreF(d, hn::Add(LoadF(d, a + i, lanes), LoadF(d, b + i, lanes)), out + i, lanes);
  });
}

template <typename To, typename From>
void SumRowsFlat(const SumRowsArgs& args, int64_t begin, int64_t end) {
  const hn::ScalableTag<float> d;
  const int64_t rows = args.parts.shape[0], stride = args.parts.strides[0];
  const From* parts = args.parts.as<From>() + begin;
  To* out = args.out.as<To>() + begin;
  ForVectors(d, end - begin, [&](size_t i, auto lanes) TL_SIMD_BODY {
    auto sum = LoadF(d, parts + i, lanes);
    for (int64_t r = 1; r < rows; ++r) sum = hn::Add(sum, LoadF(d, parts + r * stride + i, lanes));
    StoreF(d, sum, out + i, lanes);
  });
}

template <typename T>
void ScaleFlat(const ScaleArgs& args, int64_t begin, int64_t end) {
  const hn::ScalableTag<float> d;
  const auto factor = hn::Set(d, args.factor);
  T* x = args.x.as<T>() + begin;
  ForVectors(d, end - begin, [&](size_t i, auto lanes) TL_SIMD_BODY {
    StoreF(d, hn::Mul(LoadF(d, x + i, lanes), factor), x + i, lanes);
  });
}

template <typename T>
void SumBias(const BiasBackwardArgs& args, int64_t begin, int64_t end) {
  const hn::ScalableTag<float> d;
  float* d_bias = args.d_bias.as<float>() + begin;
  if (!args.accumulate) std::memset(d_bias, 0, (end - begin) * sizeof(float));
  const int64_t rows = args.dy.shape[0];
  const Rows<T> dys(args.dy);
  for (int64_t n = 0; n < rows; ++n) {
    const T* dy = dys[n] + begin;
    ForVectors(d, end - begin, [&](size_t j, auto lanes) TL_SIMD_BODY {
      StoreF(d, hn::Add(LoadF(d, d_bias + j, lanes), LoadF(d, dy + j, lanes)), d_bias + j, lanes);
    });
  }
}

void ConvertRange(const ConvertArgs& args, int64_t begin, int64_t end) {
  WithFloatType(args.dst.dtype, [&](auto to) HWY_ATTR {
    WithFloatType(args.src.dtype, [&](auto from) HWY_ATTR {
      ConvertFlat<decltype(to), decltype(from)>(args, begin, end);
    });
  });
}

void AddRange(const AddArgs& args, int64_t begin, int64_t end) {
  WithFloatType(args.out.dtype, [&](auto t) { AddFlat<decltype(t)>(args, begin, end); });
}

void SumRowsRange(const SumRowsArgs& args, int64_t begin, int64_t end) {
  WithFloatType(args.out.dtype, [&](auto to) HWY_ATTR {
    WithFloatType(args.parts.dtype, [&](auto from) HWY_ATTR {
      SumRowsFlat<decltype(to), decltype(from)>(args, begin, end);
    });
  });
}

void ScaleRange(const ScaleArgs& args, int64_t begin, int64_t end) {
  WithFloatType(args.x.dtype, [&](auto t) { ScaleFlat<decltype(t)>(args, begin, end); });
}

void BiasBackwardColumns(const BiasBackwardArgs& args, int64_t begin, int64_t end) {
  WithFloatType(args.dy.dtype, [&](auto t) { SumBias<decltype(t)>(args, begin, end); });
}

// The sum of x_i^2 over the finite x_i of a block; *nonfinite gets the number of others.
float SumSquaresBlock(const float* x, int64_t n, float* nonfinite) {
  const hn::ScalableTag<float> d;
  const auto one = hn::Set(d, 1.0f);
  auto bad = hn::Zero(d);
  const float sum = SumVectors(d, n, [&](size_t i, auto lanes, auto acc) TL_SIMD_BODY {
    const auto v = LoadF(d, x + i, lanes);
    // v - v is 0 for finite v, NaN otherwise.
    const auto finite = hn::Eq(hn::Sub(v, v), hn::Zero(d));
    bad = hn::Add(bad, hn::IfThenZeroElse(finite, one));
    const auto kept = hn::IfThenElseZero(finite, v);
    return hn::MulAdd(kept, kept, acc);
  });
  *nonfinite = hn::GetLane(hn::SumOfLanes(d, bad));
  return sum;
}

}  // namespace tl::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tl::cpu {

HWY_EXPORT(ConvertRange);
HWY_EXPORT(AddRange);
HWY_EXPORT(SumRowsRange);
HWY_EXPORT(ScaleRange);
HWY_EXPORT(BiasBackwardColumns);
HWY_EXPORT(SumSquaresBlock);

namespace {

constexpr int64_t kGranule = 1024;  // threads meet at these multiples of elements

}  // namespace

void Convert(Stream&, const ConvertArgs& args) {
  const int threads = ThreadsFor(args.dst.bytes() + args.src.bytes());
  ParallelRanges(args.dst.elements(), threads, kGranule, [&](int, int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(ConvertRange)(args, begin, end);
  });
}

void Add(Stream&, const AddArgs& args) {
  const int threads = ThreadsFor(3 * args.out.bytes());
  ParallelRanges(args.out.elements(), threads, kGranule, [&](int, int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(AddRange)(args, begin, end);
  });
}

void SumRows(Stream&, const SumRowsArgs& args) {
  const int threads = ThreadsFor(args.out.bytes() + args.parts.bytes());
  ParallelRanges(args.out.elements(), threads, kGranule, [&](int, int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(SumRowsRange)(args, begin, end);
  });
}

void Scale(Stream&, const ScaleArgs& args) {
  const int threads = ThreadsFor(2 * args.x.bytes());
  ParallelRanges(args.x.elements(), threads, kGranule, [&](int, int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(ScaleRange)(args, begin, end);
  });
}

void Exchange(Stream&, const ExchangeArgs& args) {
  float* a = args.a.as<float>();
  float* b = args.b.as<float>();
  const int threads = ThreadsFor(4 * args.a.bytes());
  ParallelRanges(args.a.elements(), threads, kGranule, [&](int, int64_t begin, int64_t end) {
    std::swap_ranges(a + begin, a + end, b + begin);
  });
}

// Threads share the columns, and each walks all rows in order.
void BiasBackward(Stream&, const BiasBackwardArgs& args) {
  const int64_t width = args.dy.shape[1];
  ParallelRanges(width, ThreadsFor(args.dy.bytes()), 64, [&](int, int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(BiasBackwardColumns)(args, begin, end);
  });
}

void SumSquares(Stream& stream, const SumSquaresArgs& args) {
  constexpr int64_t kBlock = 4096;
  const float* x = args.x.as<float>();
  const int64_t n = args.x.elements(), blocks = (n + kBlock - 1) / kBlock;
  auto* sums = reinterpret_cast<float*>(stream.Scratch(2 * blocks * sizeof(float)));
  float* nonfinite = sums + blocks;
  ParallelRanges(blocks, ThreadsFor(args.x.bytes()), 1, [&](int, int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      sums[b] = HWY_DYNAMIC_DISPATCH(SumSquaresBlock)(
          x + b * kBlock, std::min(kBlock, n - b * kBlock), nonfinite + b);
    }
  });
  double sum = 0.0, count = 0.0;
  for (int64_t b = 0; b < blocks; ++b) {
    sum += sums[b];
    count += nonfinite[b];
  }
  float* out = args.out.as<float>();
  out[0] += static_cast<float>(args.weight * sum);
  out[1] += static_cast<float>(count);
}

}  // namespace tl::cpu
#endif
