#include "kernels/row_matmul.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/row_matmul.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h.
#include "kernels/cpu/common.h"
#include "kernels/cpu/simd-inl.h"

namespace tl::cpu {
#ifndef TL_KERNELS_CPU_ROW_MATMUL_SHARED_
#define TL_KERNELS_CPU_ROW_MATMUL_SHARED_
// x as fp32, ld elements between rows; the rest of RowMatmulArgs.
struct WideRows {
  const float* x;
  int64_t ld;
};
// Outputs at a time: so many rows of w are streamed side by side.
constexpr int64_t kOutputs = 4;
#endif
}  // namespace tl::cpu

HWY_BEFORE_NAMESPACE();
namespace tl::cpu::HWY_NAMESPACE {

// Rows that share each load of w; kOutputs times as many sums fit into 16 vector registers.
constexpr int64_t kRows = 3;

template <typename T>
void WidenRowsOf(const Tensor& x, float* out, int64_t ld) {
  const hn::ScalableTag<float> d;
  for (int64_t row = 0; row < x.shape[0]; ++row) {
    const T* from = x.as<T>() + row * x.strides[0];
    ForVectors(d, static_cast<size_t>(x.shape[1]), [&](size_t i, auto lanes) TL_SIMD_BODY {
      StoreF(d, LoadF(d, from + i, lanes), out + row * ld + i, lanes);
    });
  }
}

// Every sum is one vector that takes the products of w's vectors in turn, its lanes added at the
// end: the same additions for an output whatever O and N stand beside it.
template <int64_t O, int64_t N, typename T, typename Out>
HWY_INLINE void Tile(const RowMatmulArgs& args, const WideRows& wide, int64_t output, int64_t row) {
  const hn::ScalableTag<float> d;
  const int64_t width = args.w.shape[1];
  const T* w[O];
  const float* x[N];
  hn::Vec<decltype(d)> sums[O][N];
#pragma GCC unroll 4
  for (int64_t o = 0; o < O; ++o) w[o] = args.w.as<T>() + (output + o) * args.w.strides[0];
#pragma GCC unroll 4
  for (int64_t n = 0; n < N; ++n) x[n] = wide.x + (row + n) * wide.ld;
#pragma GCC unroll 4
  for (int64_t o = 0; o < O; ++o) {
    for (int64_t n = 0; n < N; ++n) sums[o][n] = hn::Zero(d);
  }
  ForVectors(d, static_cast<size_t>(width), [&](size_t i, auto lanes) TL_SIMD_BODY {
    hn::Vec<decltype(d)> values[N];
#pragma GCC unroll 4
    for (int64_t n = 0; n < N; ++n) values[n] = LoadF(d, x[n] + i, lanes);
#pragma GCC unroll 4
    for (int64_t o = 0; o < O; ++o) {
      const auto weight = LoadF(d, w[o] + i, lanes);
#pragma GCC unroll 4
      for (int64_t n = 0; n < N; ++n) sums[o][n] = hn::MulAdd(weight, values[n], sums[o][n]);
    }
  });
#pragma GCC unroll 4
  for (int64_t n = 0; n < N; ++n) {
    Out* y = args.y.as<Out>() + (row + n) * args.y.strides[0] + output;
#pragma GCC unroll 4
    for (int64_t o = 0; o < O; ++o) {
      float sum = hn::GetLane(hn::SumOfLanes(d, sums[o][n]));
      if (args.bias) sum += ToFloat(args.bias.as<T>()[output + o]);
      y[o] = FromFloat<Out>(sum);
    }
  }
}

template <int64_t O, typename T, typename Out>
void OutputsOf(const RowMatmulArgs& args, const WideRows& wide, int64_t output) {
  const int64_t rows = args.x.shape[0];
  int64_t row = 0;
  for (; row + kRows <= rows; row += kRows) Tile<O, kRows, T, Out>(args, wide, output, row);
  if (row + 2 == rows) Tile<O, 2, T, Out>(args, wide, output, row);
  if (row + 1 == rows) Tile<O, 1, T, Out>(args, wide, output, row);
}

template <typename T, typename Out>
void RangeOf(const RowMatmulArgs& args, const WideRows& wide, int64_t begin, int64_t end) {
  int64_t output = begin;
  for (; output + kOutputs <= end; output += kOutputs)
    OutputsOf<kOutputs, T, Out>(args, wide, output);
  for (; output < end; ++output) OutputsOf<1, T, Out>(args, wide, output);
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
  TL_CHECK(args.x.rank() == 2 && args.w.rank() == 2 && args.y.rank() == 2);
  const int64_t rows = args.x.shape[0], width = args.x.shape[1], outputs = args.w.shape[0];
  CheckShape(args.w, {outputs, width});
  CheckShape(args.y, {rows, outputs});
  CheckSameType(args.w, args.x);
  TL_CHECK(args.y.dtype == args.x.dtype || args.y.dtype == DType::kF32) << Name(args.y.dtype);
  TL_CHECK(args.x.strides[1] == 1 && args.w.strides[1] == 1 && args.y.strides[1] == 1);
  if (args.bias) {
    CheckShape(args.bias, {outputs});
    CheckSameType(args.bias, args.x);
  }
  if (rows == 0) return;
  WideRows wide{nullptr, args.x.strides[0]};
  if (args.x.dtype == DType::kF32) {
    wide.x = args.x.as<float>();
  } else {
    wide.ld = (width + 15) / 16 * 16;
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
