// SPDX-License-Identifier: Apache-2.0
// Columns of rows that may end anywhere, in the same packs whether or not they can be loaded as
// vectors: so sums made of them have the same bits either way.
#pragma once

#include "kernels/cuda/common.h"

namespace tl::cuda {

// V elements from p, zeros from the `left`th on. N = V: by vectors, left is a multiple of V; N = 1:
// one by one.
template <int V, int N, typename T>
__device__ inline Pack<T, V> LoadRawColumns(const T* p, int64_t left) {
  static_assert(N == V || N == 1);
  if constexpr (N == V) {
    if (left > 0) return LoadPack<V>(p);
    return {};
  } else {
    Pack<T, V> out;
#pragma unroll
    for (int k = 0; k < V; ++k) out.v[k] = k < left ? p[k] : T{};
    return out;
  }
}

template <int V, int N, typename T>
__device__ inline Pack<float, V> LoadColumns(const T* p, int64_t left) {
  return Widen(LoadRawColumns<V, N>(p, left));
}

}  // namespace tl::cuda
