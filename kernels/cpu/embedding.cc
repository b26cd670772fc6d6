// SPDX-License-Identifier: Apache-2.0
#include "kernels/embedding.h"

#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/embedding.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h.
#include "kernels/cpu/common.h"
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tl::cpu::HWY_NAMESPACE {

template <typename T>
void AddColumns(const EmbeddingBackwardArgs& args, int64_t begin, int64_t end) {
  const hn::ScalableTag<float> d;
  const int64_t count = args.tokens.shape[0], vocabulary = args.d_table.shape[0];
  const int32_t* tokens = args.tokens.as<int32_t>();
  const Rows<T> dys(args.dy);
  const Rows<float> d_rows(args.d_table);
  for (int64_t n = 0; n < count; ++n) {
    const int64_t local = tokens[n] - args.begin;
    if (local < 0 || local >= vocabulary) continue;
    const T* dy = dys[n] + begin;
    float* d_row = d_rows[local] + begin;
    ForVectors(d, end - begin, [&](size_t i, auto lanes) TL_SIMD_BODY {
      StoreF(d, hn::Add(LoadF(d, d_row + i, lanes), LoadF(d, dy + i, lanes)), d_row + i, lanes);
    });
  }
}

void EmbeddingBackwardColumns(const EmbeddingBackwardArgs& args, int64_t begin, int64_t end) {
  WithFloatType(args.dy.dtype, [&](auto t) { AddColumns<decltype(t)>(args, begin, end); });
}

}  // namespace tl::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tl::cpu {

HWY_EXPORT(EmbeddingBackwardColumns);

void Embedding(Stream&, const EmbeddingArgs& args) {
  const int64_t rows = args.y.shape[0], width = args.y.shape[1];
  const int64_t vocabulary = args.table.shape[0];
  const auto size = static_cast<int64_t>(SizeOf(args.y.dtype));
  const int32_t* tokens = args.tokens.as<int32_t>();
  const int64_t y_step = args.y.strides[0] * size, table_step = args.table.strides[0] * size;
  const auto bytes = static_cast<size_t>(width * size);
  ParallelRanges(rows, ThreadsFor(2 * args.y.bytes()), 1, [&](int, int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      const int64_t local = tokens[n] - args.begin;
      if (0 <= local && local < vocabulary) {
        std::memcpy(args.y.data + n * y_step, args.table.data + local * table_step, bytes);
      } else {
        std::memset(args.y.data + n * y_step, 0, bytes);
      }
    }
  });
}

// Threads share the columns, and each walks all tokens in order: the sums are the same for any
// number of threads.
void EmbeddingBackward(Stream&, const EmbeddingBackwardArgs& args) {
  const int64_t width = args.dy.shape[1];
  ParallelRanges(width, ThreadsFor(3 * args.dy.bytes()), 64, [&](int, int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(EmbeddingBackwardColumns)(args, begin, end);
  });
}

}  // namespace tl::cpu
#endif
