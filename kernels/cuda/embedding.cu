// SPDX-License-Identifier: Apache-2.0
#include "kernels/embedding.h"

#include <utility>

#include "kernels/cuda/common.h"
#include "kernels/cuda/ptx.h"

namespace tl::cuda {
namespace {

constexpr int kThreads = 256;

// One warp for each row. Word: 16 bytes or one element, moved as they are.
template <typename Word>
__global__ void __launch_bounds__(kThreads)
    EmbeddingKernel(Word* ys, const int32_t* tokens, const Word* table, int64_t rows, int64_t words,
                    int64_t y_stride, int64_t table_stride, int64_t begin, int64_t vocabulary) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * (kThreads / kWarp) + threadIdx.x / kWarp;
  if (row >= rows) return;
  const int64_t local = tokens[row] - begin;
  const bool here = 0 <= local && local < vocabulary;
  const Word* from = table + (here ? local : 0) * table_stride;
  for (int64_t i = threadIdx.x % kWarp; i < words; i += kWarp)
    ys[row * y_stride + i] = here ? from[i] : Word{};
}

// The backward pass gathers the rows of each token: their places are dealt out by atomics, in any
// order, and then put in ascending order, so that the sums have the bits of the plain loop.
struct Buckets {
  int* counts;  // [vocabulary]: rows of each token, zero at first
  int* next;    // [1]: end of the places dealt out, zero at first; follows counts
  int* bases;   // [vocabulary]: first place of each token that occurs
  int* ranks;   // [rows]: place within the token's, or -1 for a token of another slice
  int* list;    // [rows]: rows by token, in any order
  int* sorted;  // [rows]: rows by token, ascending
};

__device__ inline int64_t ThisRow() {
  return static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
}

__global__ void CountKernel(Buckets b, const int32_t* tokens, int64_t rows, int64_t begin,
                            int64_t vocabulary) {
  const int64_t n = ThisRow();
  if (n >= rows) return;
  const int64_t local = tokens[n] - begin;
  const bool here = 0 <= local && local < vocabulary;
  b.ranks[n] = here ? ptx::AtomicAdd(&b.counts[local], 1) : -1;
}

__global__ void ReserveKernel(Buckets b, const int32_t* tokens, int64_t rows, int64_t begin) {
  const int64_t n = ThisRow();
  if (n >= rows || b.ranks[n] != 0) return;
  const int64_t local = tokens[n] - begin;
  b.bases[local] = ptx::AtomicAdd(b.next, b.counts[local]);
}

__global__ void PlaceKernel(Buckets b, const int32_t* tokens, int64_t rows, int64_t begin) {
  const int64_t n = ThisRow();
  if (n >= rows || b.ranks[n] < 0) return;
  b.list[b.bases[tokens[n] - begin] + b.ranks[n]] = static_cast<int>(n);
}

__global__ void SortKernel(Buckets b, const int32_t* tokens, int64_t rows, int64_t begin) {
  const int64_t n = ThisRow();
  if (n >= rows || b.ranks[n] < 0) return;
  const int64_t local = tokens[n] - begin;
  const int count = b.counts[local];
  const int* list = b.list + b.bases[local];
  int rank = 0;
#pragma unroll 8
  for (int i = 0; i < count; ++i) rank += list[i] < n;
  b.ranks[n] = rank;
  b.sorted[b.bases[local] + rank] = static_cast<int>(n);
}

// `chunks` blocks for each row; those of a token's first row add all of its rows.
template <typename T, int N>
__global__ void __launch_bounds__(kThreads)
    AddRowsKernel(Buckets b, Rows<float> d_table, const int32_t* tokens, Rows<T> dys, int64_t width,
                  int64_t begin, unsigned chunks) {
  const unsigned n = blockIdx.x / chunks;
  const int64_t column = int64_t{blockIdx.x % chunks * blockDim.x + threadIdx.x} * N;
  if (b.ranks[n] != 0 || column >= width) return;
  const int64_t local = tokens[n] - begin;
  const int count = b.counts[local];
  const int* sorted = b.sorted + b.bases[local];
  float* out = d_table[local] + column;
  const T* from = dys.data + column;
  Pack<float, N> sum = LoadPack<N>(out);
#pragma unroll 4
  for (int i = 0; i < count; ++i) {
    const Pack<float, N> dy = LoadF<N>(from + sorted[i] * dys.row_stride);
#pragma unroll
    for (int k = 0; k < N; ++k) sum.v[k] += dy.v[k];
  }
  StorePack(out, sum);
}

}  // namespace

void Embedding(Stream& stream, const EmbeddingArgs& args) {
  const int64_t rows = args.y.shape[0], width = args.y.shape[1];
  const int64_t vocabulary = args.table.shape[0];
  const auto launch = [&](auto word) {
    using Word = decltype(word);
    const auto size = static_cast<int64_t>(SizeOf(args.y.dtype));
    const auto words = [&](int64_t elements) {
      return elements * size / static_cast<int64_t>(sizeof(Word));
    };
    Launch(EmbeddingKernel<Word>, Blocks(CeilDiv(rows, kThreads / kWarp)), kThreads, 0, stream,
           reinterpret_cast<Word*>(args.y.data), args.tokens.as<int32_t>(),
           reinterpret_cast<const Word*>(args.table.data), rows, words(width),
           words(args.y.strides[0]), words(args.table.strides[0]), args.begin, vocabulary);
  };
  WithFloatType(args.y.dtype, [&](auto type) {
    using T = decltype(type);
    if (width % kVector<T> == 0 && Aligned(args.y, args.table)) {
      launch(Pack<T, kVector<T>>());
    } else {
      launch(type);
    }
  });
}

void EmbeddingBackward(Stream& stream, const EmbeddingBackwardArgs& args) {
  const int64_t rows = args.dy.shape[0], width = args.dy.shape[1];
  const int64_t vocabulary = args.d_table.shape[0];
  if (rows == 0 || width == 0 || vocabulary == 0) return;
  TL_CHECK_LT(rows, int64_t{1} << 31);
  auto* at = reinterpret_cast<int*>(
      stream.Scratch(static_cast<size_t>(EmbeddingBackwardScratch(rows, vocabulary))));
  const auto take = [&](int64_t count) { return std::exchange(at, at + count); };
  Buckets buckets;
  buckets.counts = take(vocabulary);
  buckets.next = take(1);
  buckets.bases = take(vocabulary);
  buckets.ranks = take(rows);
  buckets.list = take(rows);
  buckets.sorted = take(rows);
  ZeroBytes(stream, reinterpret_cast<std::byte*>(buckets.counts),
            static_cast<size_t>(vocabulary + 1) * sizeof(int));
  const int32_t* tokens = args.tokens.as<int32_t>();
  const dim3 blocks = Blocks(CeilDiv(rows, kThreads));
  Launch(CountKernel, blocks, kThreads, 0, stream, buckets, tokens, rows, args.begin, vocabulary);
  Launch(ReserveKernel, blocks, kThreads, 0, stream, buckets, tokens, rows, args.begin);
  Launch(PlaceKernel, blocks, kThreads, 0, stream, buckets, tokens, rows, args.begin);
  Launch(SortKernel, blocks, kThreads, 0, stream, buckets, tokens, rows, args.begin);
  WithFloatType(args.dy.dtype, [&](auto type) {
    using T = decltype(type);
    const bool vectors = width % kVector<T> == 0 && Aligned(args.dy, args.d_table);
    WithVector<kVector<T>>(vectors, [&](auto n) {
      // Few threads to a block: most blocks have nothing to do, and the others wait for memory.
      constexpr int kBlock = 64;
      const int64_t chunks = CeilDiv(width, n * kBlock);
      Launch(AddRowsKernel<T, n>, Blocks(rows * chunks), kBlock, 0, stream, buckets,
             Rows<float>(args.d_table), tokens, Rows<T>(args.dy), width, args.begin,
             static_cast<unsigned>(chunks));
    });
  });
}

}  // namespace tl::cuda
