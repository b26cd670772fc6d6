// SPDX-License-Identifier: Apache-2.0
// What both backends know a matrix product by, to find again what they made for it.
#pragma once

#include <cstdint>
#include <utility>

#include "kernels/matmul.h"

namespace tl {

// Sizes and row strides in elements, and types. A backend adds what else its choice depends on.
struct ProductKey {
  int64_t m, n, k, lda, ldb, ldc;
  Transpose trans_a, trans_b;
  DType in_type, out_type;
  bool has_bias;

  explicit ProductKey(const MatmulArgs& args)
      : m(args.c.shape[0]),
        n(args.c.shape[1]),
        k(args.a.shape[args.trans_a == Transpose::kYes ? 0 : 1]),
        lda(args.a.strides[0]),
        ldb(args.b.strides[0]),
        ldc(args.c.strides[0]),
        trans_a(args.trans_a),
        trans_b(args.trans_b),
        in_type(args.a.dtype),
        out_type(args.c.dtype),
        has_bias(args.bias) {}

  bool operator==(const ProductKey&) const = default;
  template <typename H>
  friend H AbslHashValue(H h, const ProductKey& key) {
    return H::combine(std::move(h), key.m, key.n, key.k, key.lda, key.ldb, key.ldc, key.trans_a,
                      key.trans_b, key.in_type, key.out_type, key.has_bias);
  }
};

}  // namespace tl
