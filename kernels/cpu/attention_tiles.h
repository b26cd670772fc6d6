// SPDX-License-Identifier: Apache-2.0
// Products of attention tiles by oneDNN, each on the calling thread: attention runs one tile per
// thread, so a product must not start threads of its own. Primitives are made once per thread and
// shape; shapes are few because tiles are padded to fixed granules.
#pragma once

#include <cstddef>
#include <cstdint>

#include "device/dtype.h"

namespace tl::cpu {

// While alive, oneDNN uses one thread for whatever this thread makes or runs. For the inside of
// a parallel region.
class OneThreadScope {
 public:
  OneThreadScope();
  ~OneThreadScope();
  OneThreadScope(const OneThreadScope&) = delete;

 private:
  int threads_;
};

enum class Source : uint8_t { kRows, kTransposed };

// The right operand [k, n] of products in the layout oneDNN likes best. Made from a row-major
// [k, n] (kRows) or [n, k] (kTransposed) matrix of the tile type, ld elements between rows.
size_t PackedBytes(DType type, int64_t k, int64_t n);
void Pack(DType type, int64_t k, int64_t n, Source source, const void* src, int64_t ld, void* dst);

enum class Right : uint8_t { kPlain, kPacked };
enum class Write : uint8_t { kOverwrite, kAdd };

// c [m, n] = or += a [m, k] b [k, n], all contiguous (oneDNN's fast kernels take nothing else), c
// in fp32, b row-major or packed.
void TileProduct(DType type, int64_t m, int64_t k, int64_t n, const void* a, Right right,
                 const void* b, Write write, float* c);

// dst [cols, rows], contiguous, from src [rows, cols], contiguous.
void TransposeTile(DType type, int64_t rows, int64_t cols, const void* src, void* dst);

}  // namespace tl::cpu
