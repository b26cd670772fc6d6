// SPDX-License-Identifier: Apache-2.0
// Keys and values that attention layers keep of the tokens they have seen, so that the next token
// costs one row. A plan counts the layers (Plan::Cache); the cache of a model is made from it.
#pragma once

#include <vector>

#include "nn/plan.h"

namespace tl {

class KvCache {
 public:
  // Memory for `sequences` sequences of `capacity` places each, undefined contents.
  KvCache(const Plan& plan, DType dtype, Device device, int64_t sequences, int64_t capacity);
  static int64_t Bytes(const Plan& plan, DType dtype, int64_t sequences, int64_t capacity);

  int64_t sequences() const { return sequences_; }
  int64_t capacity() const { return capacity_; }
  // [sequences, heads, capacity, head_dim] of one attention layer.
  const Tensor& keys(int layer) const { return keys_[layer]; }
  const Tensor& values(int layer) const { return values_[layer]; }

  // In every layer, row from[i] of sequences[i] goes to to[i]; one after the other. int32 on the
  // cache's device.
  void Move(Stream& stream, Tensor sequences, Tensor from, Tensor to) const;

 private:
  int64_t sequences_, capacity_;
  Buffer memory_;
  std::vector<Tensor> keys_, values_;
};

// What attention layers must know of the rows of a decoding pass; int32 on the device. See
// kernels/cached_attention.h for what a row sees.
struct CachedRows {
  const KvCache* cache = nullptr;
  Tensor sequences;       // [rows]: which sequence of the cache
  Tensor indices;         // [rows]: where its key and value are put
  Tensor places;          // [rows]: the same among all sequences: sequence * capacity + index
  Tensor prefix;          // [rows]
  Tensor ancestors;       // [rows, 4]
  int64_t most_keys = 0;  // of a row
};

}  // namespace tl
