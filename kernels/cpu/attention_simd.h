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

// One step of the online softmax over a tile of products s [rows, width], in units of log2:
// with x = factor * s where the row's range [lo, hi) has the key, m' = max(m, max x):
//   p = exp2(x - m') there and 0 elsewhere, sum = sum * exp2(m - m') + sum p, o *= exp2(m - m').
// Column 0 is key first_key. p has the tile type; in fp32 it may be s itself.
struct SoftmaxTileArgs {
  void* p;
  DType type;
  const float* s;
  int64_t rows, width, first_key;
  const int32_t* lo;
  const int32_t* hi;
  float factor;
  float* row_max;
  float* row_sum;
  float* o;  // [rows, d]
  int64_t d;
};
void SoftmaxTile(const SoftmaxTileArgs& args);

// A tile of the backward pass, keys in rows and queries in columns: with the query range [lo, hi)
// of each key,
//   p = exp2(factor * s - lse2), ds = p * (dp - delta) there, and 0 elsewhere.
// Column 0 is query first_query; lse2 and delta are of the columns. p, ds have the tile type; in
// fp32 they may be s and dp themselves.
struct GradTileArgs {
  void* p;
  void* ds;
  DType type;
  const float* s;
  const float* dp;
  int64_t rows, width, first_query;
  const int32_t* lo;
  const int32_t* hi;
  float factor;
  const float* lse2;
  const float* delta;
};
void GradTile(const GradTileArgs& args);

}  // namespace tl::cpu
