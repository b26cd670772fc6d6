// SPDX-License-Identifier: Apache-2.0
// The element-wise half of attention tiles, through the SIMD target of the machine.
#pragma once

#include <cstdint>

#include "device/dtype.h"

namespace tl::cpu {

// Copies rows [rows, d], ld elements apart, of type `from` into contiguous rows of type `to` (fp32
// or bf16), then adds rows of zeros up to padded_rows.
struct CopyRowsArgs {
  void* dst;
  DType to;
  const void* src;
  DType from;
  int64_t ld, rows, padded_rows, d;
};
void CopyRows(const CopyRowsArgs& args);

// dst row r = factor * src row r, or factors[r] * src row r; src contiguous fp32.
struct StoreRowsArgs {
  void* dst;
  DType to;
  int64_t ld;
  const float* src;
  int64_t rows, d;
  float factor = 1.0f;
  const float* factors = nullptr;
};
void StoreRows(const StoreRowsArgs& args);

// out[r] = sum_d a[r, d] b[r, d], in fp32.
struct RowDotsArgs {
  float* out;
  const void* a;
  const void* b;
  DType dtype;
  int64_t a_ld, b_ld, rows, d;
};
void RowDots(const RowDotsArgs& args);

// One step of the online softmax over a tile of products s [rows, width], in units of log2. With
// x = factor * s, and the row's shift (-inf at first) raised to max x when max x is far above it:
//   p = exp2(x - shift) for the keys in the row's range [lo, hi) and 0 elsewhere; sum += sum p,
// sum and o having been multiplied by exp2(old shift - shift). Column 0 is key first_key. width is
// a multiple of 32. p is written over s, contiguous in the tile type.
struct SoftmaxTileArgs {
  DType type;
  float* s;
  int64_t rows, width, first_key;
  const int32_t* lo;
  const int32_t* hi;
  float factor;
  float* row_shift;
  float* row_sum;
  float* o;  // [rows, d]
  int64_t d;
};
void SoftmaxTile(const SoftmaxTileArgs& args);

// A tile of the backward pass, keys in rows and queries in columns: with the query range [lo, hi)
// of each key,
//   p = exp2(factor * s - lse2), ds = p * (dp - delta) there, and 0 elsewhere.
// Column 0 is query first_query; lse2 and delta are of the columns. width is a multiple of 32. p is
// written over s and ds over dp, as above.
struct GradTileArgs {
  DType type;
  float* s;
  float* dp;
  int64_t rows, width, first_query;
  const int32_t* lo;
  const int32_t* hi;
  float factor;
  const float* lse2;
  const float* delta;
};
void GradTile(const GradTileArgs& args);

}  // namespace tl::cpu
