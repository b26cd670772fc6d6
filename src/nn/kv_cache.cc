// SPDX-License-Identifier: Apache-2.0
#include "nn/kv_cache.h"

#include "kernels/kv_cache.h"

namespace tl {

int64_t KvCache::Bytes(const Plan& plan, DType dtype, int64_t sequences, int64_t capacity) {
  int64_t per_place = 0;
  for (const CacheShape& shape : plan.caches()) per_place += 2 * shape.heads * shape.head_dim;
  return per_place * sequences * capacity * static_cast<int64_t>(SizeOf(dtype));
}

KvCache::KvCache(const Plan& plan, DType dtype, Device device, int64_t sequences, int64_t capacity)
    : sequences_(sequences),
      capacity_(capacity),
      memory_(Buffer::Allocate(device, Bytes(plan, dtype, sequences, capacity))) {
  std::byte* next = memory_.data();
  const auto take = [&](const CacheShape& shape) {
    const Tensor x =
        Tensor::Contiguous(next, {sequences, shape.heads, capacity, shape.head_dim}, dtype, device);
    next += x.bytes();
    return x;
  };
  for (const CacheShape& shape : plan.caches()) {
    keys_.push_back(take(shape));
    values_.push_back(take(shape));
  }
}

void KvCache::Move(Stream& stream, Tensor sequences, Tensor from, Tensor to) const {
  for (size_t layer = 0; layer < keys_.size(); ++layer)
    CacheMove(stream, {.k_cache = keys_[layer],
                       .v_cache = values_[layer],
                       .sequences = sequences,
                       .from = from,
                       .to = to});
}

}  // namespace tl
