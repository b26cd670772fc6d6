// SPDX-License-Identifier: Apache-2.0
#include "kernels/kv_cache.h"

#include "kernels/cuda/common.h"

namespace tl::cuda {
namespace {

constexpr int kThreads = 256;

// Strides in words.
template <typename Word>
struct CacheView {
  Word* data;
  int64_t sequence, head, place;
  int64_t sequences, capacity;

  // Null outside of the cache, since a kernel cannot end the program.
  __device__ Word* At(int64_t s, int64_t h, int64_t index) const {
    if (s < 0 || s >= sequences || index < 0 || index >= capacity) return nullptr;
    return data + s * sequence + h * head + index * place;
  }
};

template <typename Word>
struct NewRows {
  const Word* data;
  int64_t row, head;
};

// A thread for each word of a head's vector of each row.
template <typename Word>
__global__ void __launch_bounds__(kThreads)
    CacheStoreKernel(CacheView<Word> k_cache, CacheView<Word> v_cache, NewRows<Word> k,
                     NewRows<Word> v, const int32_t* sequences, const int32_t* indices,
                     int64_t rows, int64_t heads, int64_t words) {
  const int64_t item = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const int64_t word = item % words, head = item / words % heads, row = item / words / heads;
  if (row >= rows) return;
  Word* const to_k = k_cache.At(sequences[row], head, indices[row]);
  Word* const to_v = v_cache.At(sequences[row], head, indices[row]);
  if (to_k == nullptr) return;
  to_k[word] = k.data[row * k.row + head * k.head + word];
  to_v[word] = v.data[row * v.row + head * v.head + word];
}

// A thread for each word of a head's vector: it makes all moves of that word, in their order.
template <typename Word>
__global__ void __launch_bounds__(kThreads)
    CacheMoveKernel(CacheView<Word> k_cache, CacheView<Word> v_cache, const int32_t* sequences,
                    const int32_t* from, const int32_t* to, int64_t moves, int64_t heads,
                    int64_t words) {
  const int64_t item = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const int64_t word = item % words, head = item / words;
  if (head >= heads) return;
  for (int64_t n = 0; n < moves; ++n) {
    const auto move = [&](const CacheView<Word>& cache) {
      const Word* const source = cache.At(sequences[n], head, from[n]);
      Word* const target = cache.At(sequences[n], head, to[n]);
      if (source != nullptr && target != nullptr) target[word] = source[word];
    };
    move(k_cache);
    move(v_cache);
  }
}

// Calls f with a value of the type that is moved at a time: 16 bytes, or one element.
template <class F, class... Tensors>
void WithWord(const Tensor& cache, const F& f, const Tensors&... tensors) {
  WithFloatType(cache.dtype, [&](auto type) {
    using T = decltype(type);
    if (cache.shape[3] % kVector<T> == 0 && Aligned(cache, tensors...)) {
      f(Pack<T, kVector<T>>());
    } else {
      f(type);
    }
  });
}

template <typename Word>
int64_t Words(const Tensor& like, int64_t elements) {
  return elements * static_cast<int64_t>(SizeOf(like.dtype)) / static_cast<int64_t>(sizeof(Word));
}

template <typename Word>
CacheView<Word> View(const Tensor& cache) {
  return {.data = reinterpret_cast<Word*>(cache.data),
          .sequence = Words<Word>(cache, cache.strides[0]),
          .head = Words<Word>(cache, cache.strides[1]),
          .place = Words<Word>(cache, cache.strides[2]),
          .sequences = cache.shape[0],
          .capacity = cache.shape[2]};
}

template <typename Word>
NewRows<Word> RowsOf(const Tensor& x) {
  return {.data = reinterpret_cast<const Word*>(x.data),
          .row = Words<Word>(x, x.strides[0]),
          .head = Words<Word>(x, x.strides[1])};
}

}  // namespace

void CacheStore(Stream& stream, const CacheStoreArgs& args) {
  const int64_t rows = args.k.shape[0], heads = args.k_cache.shape[1], d = args.k_cache.shape[3];
  const auto launch = [&](auto word) {
    using Word = decltype(word);
    const int64_t words = Words<Word>(args.k, d);
    Launch(CacheStoreKernel<Word>, Blocks(CeilDiv(rows * heads * words, kThreads)), kThreads, 0,
           stream, View<Word>(args.k_cache), View<Word>(args.v_cache), RowsOf<Word>(args.k),
           RowsOf<Word>(args.v), args.sequences.as<int32_t>(), args.indices.as<int32_t>(), rows,
           heads, words);
  };
  WithWord(args.k_cache, launch, args.v_cache, args.k, args.v);
}

void CacheMove(Stream& stream, const CacheMoveArgs& args) {
  const int64_t moves = args.sequences.shape[0], heads = args.k_cache.shape[1];
  const auto launch = [&](auto word) {
    using Word = decltype(word);
    const int64_t words = Words<Word>(args.k_cache, args.k_cache.shape[3]);
    Launch(CacheMoveKernel<Word>, Blocks(CeilDiv(heads * words, kThreads)), kThreads, 0, stream,
           View<Word>(args.k_cache), View<Word>(args.v_cache), args.sequences.as<int32_t>(),
           args.from.as<int32_t>(), args.to.as<int32_t>(), moves, heads, words);
  };
  WithWord(args.k_cache, launch, args.v_cache);
}

}  // namespace tl::cuda
