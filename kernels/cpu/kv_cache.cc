// SPDX-License-Identifier: Apache-2.0
#include "kernels/kv_cache.h"

#include <cstring>

#include "kernels/cpu/common.h"

namespace tl::cpu {
namespace {

// The vector of one head at one place of a sequence.
std::byte* Place(const Tensor& cache, int64_t sequence, int64_t head, int64_t index) {
  TL_CHECK(0 <= sequence && sequence < cache.shape[0] && 0 <= index && index < cache.shape[2])
      << "place " << index << " of sequence " << sequence << " in a cache "
      << ToString(cache.shape);
  return cache.data +
         (sequence * cache.strides[0] + head * cache.strides[1] + index * cache.strides[2]) *
             static_cast<int64_t>(SizeOf(cache.dtype));
}

}  // namespace

void CacheStore(Stream&, const CacheStoreArgs& args) {
  const int64_t rows = args.k.shape[0], heads = args.k_cache.shape[1], d = args.k_cache.shape[3];
  const auto store = [&](const Tensor& cache, const Tensor& x) {
    const auto element = static_cast<int64_t>(SizeOf(x.dtype));
    for (int64_t n = 0; n < rows; ++n) {
      for (int64_t h = 0; h < heads; ++h) {
        std::memcpy(Place(cache, args.sequences.as<int32_t>()[n], h, args.indices.as<int32_t>()[n]),
                    x.data + (n * x.strides[0] + h * x.strides[1]) * element,
                    static_cast<size_t>(d * element));
      }
    }
  };
  store(args.k_cache, args.k);
  store(args.v_cache, args.v);
}

void CacheMove(Stream&, const CacheMoveArgs& args) {
  const int64_t rows = args.sequences.shape[0];
  const auto bytes = static_cast<size_t>(args.k_cache.shape[3]) * SizeOf(args.k_cache.dtype);
  for (const Tensor* cache : {&args.k_cache, &args.v_cache}) {
    for (int64_t n = 0; n < rows; ++n) {
      const int32_t sequence = args.sequences.as<int32_t>()[n];
      for (int64_t h = 0; h < cache->shape[1]; ++h)
        std::memmove(Place(*cache, sequence, h, args.to.as<int32_t>()[n]),
                     Place(*cache, sequence, h, args.from.as<int32_t>()[n]), bytes);
    }
  }
}

}  // namespace tl::cpu
