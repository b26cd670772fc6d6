// SPDX-License-Identifier: Apache-2.0
#include "kernels/kv_cache.h"

#include "kernels/checks.h"

namespace tl {
namespace {

void CheckCaches(const Tensor& k_cache, const Tensor& v_cache) {
  TL_CHECK_EQ(k_cache.rank(), 4);
  CheckLike(v_cache, k_cache);
  CheckLastAxis(k_cache);
  CheckLastAxis(v_cache);
}

}  // namespace

void CheckArgs(const CacheStoreArgs& args) {
  CheckCaches(args.k_cache, args.v_cache);
  const int64_t rows = args.k.shape[0], heads = args.k_cache.shape[1], d = args.k_cache.shape[3];
  for (const Tensor* x : {&args.k, &args.v}) {
    CheckShape(*x, {rows, heads, d});
    CheckSameType(*x, args.k_cache);
    CheckLastAxis(*x);
  }
  CheckShape(args.sequences, {rows});
  CheckShape(args.indices, {rows});
}

void CheckArgs(const CacheMoveArgs& args) {
  CheckCaches(args.k_cache, args.v_cache);
  const int64_t rows = args.sequences.shape[0];
  CheckShape(args.from, {rows});
  CheckShape(args.to, {rows});
}

}  // namespace tl
