// SPDX-License-Identifier: Apache-2.0
// Rows of a K/V cache: written where new tokens stand, and moved onto the prefix once accepted.
// Places outside of a cache end the program on CPUs; on CUDA devices they are left out.
#pragma once

#include "kernels/dispatch.h"

namespace tl {

// k_cache[sequences[n], h, indices[n], :] = k[n, h, :], and the same for v. k, v: [N, H, D],
// strided but for the last axis; caches: [S, H, C, D], their type; sequences, indices: int32 [N].
struct CacheStoreArgs {
  Tensor k_cache;
  Tensor v_cache;
  Tensor k;
  Tensor v;
  Tensor sequences;
  Tensor indices;
};
TL_DECLARE_OP(CacheStore);

// cache[sequences[n], h, to[n], :] = cache[sequences[n], h, from[n], :], one n after the other: a
// row may be read after it has been moved to. sequences, from, to: int32 [N].
struct CacheMoveArgs {
  Tensor k_cache;
  Tensor v_cache;
  Tensor sequences;
  Tensor from;
  Tensor to;
};
TL_DECLARE_OP(CacheMove);

}  // namespace tl
