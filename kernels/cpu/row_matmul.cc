// SPDX-License-Identifier: Apache-2.0
#include "kernels/row_matmul.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/row_matmul.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h.
#include "hwy/cache_control.h"
#include "kernels/cpu/common.h"
#include "kernels/cpu/simd-inl.h"

namespace tl::cpu {
#ifndef TL_KERNELS_CPU_ROW_MATMUL_SHARED_
#define TL_KERNELS_CPU_ROW_MATMUL_SHARED_
// x as fp32, ld elements between rows; the rest of RowMatmulArgs. Of 16-bit types a copy, in the
// order in which blocks of w are loaded, with zeros up to a whole block.
struct WideRows {
  const float* x;
  int64_t ld;
};
// Outputs at a time: so many streams of w are read side by side, each row after row, as long ones
// are what hardware fetches ahead well.
constexpr int64_t kOutputs = 4;
// No block is longer.
constexpr int64_t kLongestBlock = 128;
// How far ahead each is asked for. Loads that wait keep too little of memory busy by themselves,
// the less the narrower the type.
constexpr int64_t kAheadBytes = 1024;
#endif
}  // namespace tl::cpu

HWY_BEFORE_NAMESPACE();
namespace tl::cpu::HWY_NAMESPACE {

// Rows that share each load of w; kOutputs times as many sums fit into 16 vector registers.
constexpr int64_t kRows = 3;

// What is loaded at once: so many vectors of fp32.
template <typename T>
constexpr int64_t kVectors = std::is_same_v<T, BF16> ? 2 : 1;

template <class D, typename T>
HWY_INLINE int64_t BlockOf(D d, T) {
  static_assert(kVectors<T> * hn::MaxLanes(D()) <= kLongestBlock);
  return kVectors<T> * static_cast<int64_t>(hn::Lanes(d));
}

template <class D, typename T, class L>
HWY_INLINE void LoadBlock(D d, const T* p, L lanes, hn::Vec<D>* out) {
  out[0] = LoadF(d, p, lanes);
}

// Every bf16 is the upper half of an fp32: of pairs, the second ones by a mask, the first ones by a
// shift. That is half the instructions of widening each.
template <class D>
HWY_INLINE void LoadBlock(D d, const BF16* p, AllLanes, hn::Vec<D>* out) {
  const hn::RebindToUnsigned<D> d32;
#if HWY_TARGET == HWY_SCALAR
  uint32_t pair;
  std::memcpy(&pair, p, sizeof(pair));
  const auto pairs = hn::Set(d32, pair);
#else
  const auto pairs = hn::LoadU(d32, reinterpret_cast<const uint32_t*>(p));
#endif
  out[0] = hn::BitCast(d, hn::ShiftLeft<16>(pairs));
  out[1] = hn::BitCast(d, hn::And(pairs, hn::Set(d32, 0xffff0000u)));
}

// The first n elements; the others read as 0.
template <class D>
HWY_INLINE void LoadBlock(D d, const BF16* p, size_t n, hn::Vec<D>* out) {
  BF16 block[2 * hn::MaxLanes(d)] = {};
  std::memcpy(block, p, n * sizeof(BF16));
  LoadBlock(d, block, AllLanes{}, out);
}

// body(i, lanes) for every block of [0, n); lanes is AllLanes, or a count for the last one.
template <class F>
HWY_INLINE void ForBlocks(int64_t block, int64_t n, const F& body) {
  int64_t i = 0;
  for (; i + block <= n; i += block) body(i, AllLanes{});
  if (i < n) body(i, static_cast<size_t>(n - i));
}

template <typename T>
void WidenRowsOf(const Tensor& x, float* out, int64_t ld) {
  const hn::ScalableTag<float> d;
  const auto lanes_of_vector = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t row = 0; row < x.shape[0]; ++row) {
    const T* from = x.as<T>() + row * x.strides[0];
    float* to = out + row * ld;
    ForBlocks(BlockOf(d, T{}), x.shape[1], [&](int64_t i, auto lanes) TL_SIMD_BODY {
      hn::Vec<decltype(d)> values[kVectors<T>];
      LoadBlock(d, from + i, lanes, values);
      for (int64_t v = 0; v < kVectors<T>; ++v)
        hn::StoreU(values[v], d, to + i + v * lanes_of_vector);
    });
  }
}

// Outputs output, output + apart, ... Every sum is one vector that takes the products of w's blocks
// in turn, its lanes added at the end: the same additions for an output whatever O and N stand
// beside it.
template <int64_t O, int64_t N, typename T, typename Out>
HWY_INLINE void Tile(const RowMatmulArgs& args, const WideRows& wide, int64_t output, int64_t apart,
                     int64_t row) {
  const hn::ScalableTag<float> d;
  using V = hn::Vec<decltype(d)>;
  constexpr int64_t kV = kVectors<T>;
  constexpr int64_t kAhead = kAheadBytes / sizeof(T);
  const auto lanes_of_vector = static_cast<int64_t>(hn::Lanes(d));
  const int64_t width = args.w.shape[1], x_step = wide.ld;
  const int64_t w_step = apart * args.w.strides[0];
  const T* w = args.w.as<T>() + output * args.w.strides[0];
  const float* x = wide.x + row * x_step;
  V sums[O][N];
#pragma GCC unroll 4
  for (int64_t o = 0; o < O; ++o) {
#pragma GCC unroll 4
    for (int64_t n = 0; n < N; ++n) sums[o][n] = hn::Zero(d);
  }
  ForBlocks(BlockOf(d, T{}), width, [&](int64_t i, auto lanes) TL_SIMD_BODY {
    V values[N][kV];
#pragma GCC unroll 4
    for (int64_t n = 0; n < N; ++n) {
      if constexpr (std::is_same_v<T, float>) {
        values[n][0] = LoadF(d, x + n * x_step + i, lanes);
      } else {
#pragma GCC unroll 2
        for (int64_t v = 0; v < kV; ++v)
          values[n][v] = hn::LoadU(d, x + n * x_step + i + v * lanes_of_vector);
      }
    }
#pragma GCC unroll 4
    for (int64_t o = 0; o < O; ++o) {
      hwy::Prefetch(w + o * w_step + i + kAhead);
      V weights[kV];
      LoadBlock(d, w + o * w_step + i, lanes, weights);
#pragma GCC unroll 2
      for (int64_t v = 0; v < kV; ++v) {
#pragma GCC unroll 4
        for (int64_t n = 0; n < N; ++n)
          sums[o][n] = hn::MulAdd(weights[v], values[n][v], sums[o][n]);
      }
    }
  });
#pragma GCC unroll 4
  for (int64_t n = 0; n < N; ++n) {
    Out* y = args.y.as<Out>() + (row + n) * args.y.strides[0] + output;
#pragma GCC unroll 4
    for (int64_t o = 0; o < O; ++o) {
      float sum = hn::GetLane(hn::SumOfLanes(d, sums[o][n]));
      if (args.bias) sum += ToFloat(args.bias.as<T>()[output + o * apart]);
      y[o * apart] = FromFloat<Out>(sum);
    }
  }
}

template <int64_t O, typename T, typename Out>
void OutputsOf(const RowMatmulArgs& args, const WideRows& wide, int64_t output, int64_t apart) {
  const int64_t rows = args.x.shape[0];
  int64_t row = 0;
  for (; row + kRows <= rows; row += kRows) Tile<O, kRows, T, Out>(args, wide, output, apart, row);
  if (row + 2 == rows) Tile<O, 2, T, Out>(args, wide, output, apart, row);
  if (row + 1 == rows) Tile<O, 1, T, Out>(args, wide, output, apart, row);
}

template <typename T, typename Out>
void RangeOf(const RowMatmulArgs& args, const WideRows& wide, int64_t begin, int64_t end) {
  const int64_t apart = (end - begin) / kOutputs;
  for (int64_t i = 0; i < apart; ++i) OutputsOf<kOutputs, T, Out>(args, wide, begin + i, apart);
  for (int64_t output = begin + kOutputs * apart; output < end; ++output)
    OutputsOf<1, T, Out>(args, wide, output, 1);
}

void WidenRows(const Tensor& x, float* out, int64_t ld) {
  WithFloatType(x.dtype, [&](auto t) { WidenRowsOf<decltype(t)>(x, out, ld); });
}

void RowMatmulRange(const RowMatmulArgs& args, const WideRows& wide, int64_t begin, int64_t end) {
  WithFloatType(args.w.dtype, [&](auto t) {
    using T = decltype(t);
    if (args.y.dtype == DType::kF32) {
      RangeOf<T, float>(args, wide, begin, end);
    } else {
      RangeOf<T, T>(args, wide, begin, end);
    }
  });
}

}  // namespace tl::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tl::cpu {

HWY_EXPORT(WidenRows);
HWY_EXPORT(RowMatmulRange);

void RowMatmul(Stream& stream, const RowMatmulArgs& args) {
  const int64_t rows = args.x.shape[0], width = args.x.shape[1], outputs = args.w.shape[0];
  if (rows == 0) return;
  WideRows wide{nullptr, args.x.strides[0]};
  if (args.x.dtype == DType::kF32) {
    wide.x = args.x.as<float>();
  } else {
    wide.ld = (width + kLongestBlock - 1) / kLongestBlock * kLongestBlock;
    auto* x = reinterpret_cast<float*>(
        stream.Scratch(static_cast<size_t>(rows * wide.ld) * sizeof(float)));
    HWY_DYNAMIC_DISPATCH(WidenRows)(args.x, x, wide.ld);
    wide.x = x;
  }
  const int64_t work = args.w.bytes() * ((rows + 2) / 3);
  ParallelRanges(outputs, ThreadsFor(work), kOutputs, [&](int, int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(RowMatmulRange)(args, wide, begin, end);
  });
}

}  // namespace tl::cpu
#endif
