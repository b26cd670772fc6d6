// SPDX-License-Identifier: Apache-2.0
#include "nn/row_state.h"

#include "kernels/embedding.h"
#include "kernels/kv_cache.h"
#include "nn/kv_cache.h"

namespace tl {

void RowState::Declare(Plan& plan, int64_t width) {
  width_ = width;
  half_ = (width + 1) / 2;  // of an odd width the halves share an element
  cache_ = plan.Cache({.heads = 1, .head_dim = half_});
}

void RowState::Store(Step& step, Tensor x) const {
  const CachedRows& rows = *step.cached();
  const auto head = [&](int64_t begin) {
    return x.Slice(1, begin, begin + half_).SplitAxis(1, half_);
  };
  CacheStore(step.stream(), {.k_cache = rows.cache->keys(cache_),
                             .v_cache = rows.cache->values(cache_),
                             .k = head(0),
                             .v = head(width_ - half_),
                             .sequences = rows.sequences,
                             .indices = rows.indices});
}

void RowState::Load(Step& step, Tensor x) const {
  const CachedRows& rows = *step.cached();
  const int64_t places = rows.cache->sequences() * rows.cache->capacity();
  const auto load = [&](int64_t begin, const Tensor& cache) {
    Embedding(step.stream(), {.y = x.Slice(1, begin, begin + half_),
                              .tokens = rows.places,
                              .table = cache.Reshape({places, half_})});
  };
  load(0, rows.cache->keys(cache_));
  load(width_ - half_, rows.cache->values(cache_));
}

}  // namespace tl
