// SPDX-License-Identifier: Apache-2.0
#include "kernels/elementwise.h"

#include <algorithm>

#include "kernels/cuda/column_sums.h"
#include "kernels/cuda/common.h"

namespace tl::cuda {
namespace {

constexpr int kThreads = 256;

template <typename To, typename From, int N>
__global__ void __launch_bounds__(kThreads) ConvertKernel(To* dst, const From* src, int64_t n) {
  ForElements<N>(n, [&](int64_t i, auto lanes) { StoreF(dst + i, LoadF<lanes>(src + i)); });
}

template <typename T, int N>
__global__ void __launch_bounds__(kThreads) AddKernel(T* out, const T* a, const T* b, int64_t n) {
  ForElements<N>(n, [&](int64_t i, auto lanes) {
    Pack<float, lanes> sum = LoadF<lanes>(a + i);
    const Pack<float, lanes> other = LoadF<lanes>(b + i);
#pragma unroll
    for (int k = 0; k < lanes; ++k) sum.v[k] += other.v[k];
    StoreF(out + i, sum);
  });
}

template <typename To, typename From, int N>
__global__ void __launch_bounds__(kThreads)
    SumRowsKernel(To* out, const From* parts, int64_t rows, int64_t stride, int64_t n) {
  ForElements<N>(n, [&](int64_t i, auto lanes) {
    const From* at = parts + i;
    Pack<float, lanes> sum = LoadF<lanes>(at);
#pragma unroll 2
    for (int64_t r = 1; r < rows; ++r) {
      at += stride;
      const Pack<float, lanes> part = LoadF<lanes>(at);
#pragma unroll
      for (int k = 0; k < lanes; ++k) sum.v[k] += part.v[k];
    }
    StoreF(out + i, sum);
  });
}

template <typename T, int N>
__global__ void __launch_bounds__(kThreads) ScaleKernel(T* x, float factor, int64_t n) {
  ForElements<N>(n, [&](int64_t i, auto lanes) {
    Pack<float, lanes> scaled = LoadF<lanes>(x + i);
#pragma unroll
    for (int k = 0; k < lanes; ++k) scaled.v[k] *= factor;
    StoreF(x + i, scaled);
  });
}

template <int N>
__global__ void __launch_bounds__(kThreads) ExchangeKernel(float* a, float* b, int64_t n) {
  ForElements<N>(n, [&](int64_t i, auto lanes) {
    const Pack<float, lanes> was = LoadPack<lanes>(a + i);
    StorePack(a + i, LoadPack<lanes>(b + i));
    StorePack(b + i, was);
  });
}

// A block sums a part of the rows over a tile of 32 N columns: its warps take every 8th row of the
// part, and their sums are added in order.
template <typename T, int N>
__global__ void __launch_bounds__(kThreads)
    BiasBackwardKernel(float* partials, Rows<T> dys, int64_t rows, int64_t width, int64_t tiles) {
  constexpr int kWarps = kThreads / kWarp;
  __shared__ float sums[kWarps][N][kWarp];
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const int64_t part = blockIdx.x / tiles, parts = gridDim.x / tiles;
  const int64_t first_column = blockIdx.x % tiles * (kWarp * N);
  const int64_t column = first_column + lane * N;
  Pack<float, N> sum = {};
  if (column < width) {
    const int64_t end = rows * (part + 1) / parts;
#pragma unroll 4
    for (int64_t n = rows * part / parts + warp; n < end; n += kWarps) {
      const Pack<float, N> dy = LoadF<N>(dys[n] + column);
#pragma unroll
      for (int k = 0; k < N; ++k) sum.v[k] += dy.v[k];
    }
  }
#pragma unroll
  for (int k = 0; k < N; ++k) sums[warp][k][lane] = sum.v[k];
  __syncthreads();
  for (int i = threadIdx.x; i < kWarp * N && first_column + i < width; i += kThreads) {
    float total = 0.0f;
    for (int w = 0; w < kWarps; ++w) total += sums[w][i % N][i / N];
    partials[part * width + first_column + i] = total;
  }
}

constexpr int kSquaresBlock = kSumSquaresBlock;

// Block b: sums[b] = sum of x_i^2 over its finite x_i, nonfinite[b] = number of others.
template <int N>
__global__ void __launch_bounds__(kThreads)
    SumSquaresKernel(float* sums, float* nonfinite, const float* x, int64_t n) {
  __shared__ float warp_sums[kThreads / kWarp];
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * kSquaresBlock;
  float sum = 0.0f, bad = 0.0f;
  const auto add = [&](float v) {
    const bool finite = v - v == 0.0f;
    bad += finite ? 0.0f : 1.0f;
    sum = finite ? fmaf(v, v, sum) : sum;
  };
#pragma unroll
  for (int c = 0; c < kSquaresBlock / (kThreads * N); ++c) {
    const int64_t i = begin + (c * kThreads + static_cast<int>(threadIdx.x)) * N;
    if (i + N <= n) {
      const Pack<float, N> v = LoadPack<N>(x + i);
#pragma unroll
      for (int k = 0; k < N; ++k) add(v.v[k]);
    } else {
      for (int64_t j = i; j < n; ++j) add(x[j]);
    }
  }
  sum = BlockSum<kThreads>(sum, warp_sums);
  bad = BlockSum<kThreads>(bad, warp_sums);
  if (threadIdx.x != 0) return;
  sums[blockIdx.x] = sum;
  nonfinite[blockIdx.x] = bad;
}

constexpr int kFinishThreads = 512;

// One block. The order of the fp64 sum depends on the number of blocks alone.
__global__ void __launch_bounds__(kFinishThreads)
    FinishSquaresKernel(float* out, const float* sums, const float* nonfinite, int64_t blocks,
                        float weight) {
  __shared__ double shared_sums[kFinishThreads], shared_counts[kFinishThreads];
  double sum = 0.0, count = 0.0;
#pragma unroll 4
  for (int64_t b = threadIdx.x; b < blocks; b += kFinishThreads) {
    sum += sums[b];
    count += nonfinite[b];
  }
  const int t = threadIdx.x;
  shared_sums[t] = sum;
  shared_counts[t] = count;
  for (int half = kFinishThreads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (t >= half) continue;
    shared_sums[t] += shared_sums[t + half];
    shared_counts[t] += shared_counts[t + half];
  }
  if (t != 0) return;
  out[0] += static_cast<float>(weight * shared_sums[0]);
  out[1] += static_cast<float>(shared_counts[0]);
}

// Vectors of N elements of the narrower type fill 16 bytes.
template <typename A, typename B>
constexpr int kVectorOfBoth = kVector<A> > kVector<B> ? kVector<A> : kVector<B>;

dim3 FlatBlocks(int64_t n, int lanes) { return Blocks(CeilDiv(n, int64_t{kThreads} * lanes)); }

// A contiguous tensor as one vector: only its start must be aligned.
Tensor Flat(const Tensor& t) { return t.Reshape({t.elements()}); }

}  // namespace

void Convert(Stream& stream, const ConvertArgs& args) {
  const int64_t n = args.dst.elements();
  WithFloatType(args.dst.dtype, [&](auto to) {
    WithFloatType(args.src.dtype, [&](auto from) {
      using To = decltype(to);
      using From = decltype(from);
      WithVector<kVectorOfBoth<To, From>>(Aligned(Flat(args.dst), Flat(args.src)), [&](auto lanes) {
        Launch(ConvertKernel<To, From, lanes>, FlatBlocks(n, lanes), kThreads, 0, stream,
               args.dst.as<To>(), args.src.as<From>(), n);
      });
    });
  });
}

void Add(Stream& stream, const AddArgs& args) {
  const int64_t n = args.out.elements();
  WithFloatType(args.out.dtype, [&](auto type) {
    using T = decltype(type);
    const bool vectors = Aligned(Flat(args.out), Flat(args.a), Flat(args.b));
    WithVector<kVector<T>>(vectors, [&](auto lanes) {
      Launch(AddKernel<T, lanes>, FlatBlocks(n, lanes), kThreads, 0, stream, args.out.as<T>(),
             args.a.as<T>(), args.b.as<T>(), n);
    });
  });
}

void SumRows(Stream& stream, const SumRowsArgs& args) {
  const int64_t n = args.out.elements();
  WithFloatType(args.out.dtype, [&](auto to) {
    WithFloatType(args.parts.dtype, [&](auto from) {
      using To = decltype(to);
      using From = decltype(from);
      WithVector<kVectorOfBoth<To, From>>(Aligned(Flat(args.out), args.parts), [&](auto lanes) {
        Launch(SumRowsKernel<To, From, lanes>, FlatBlocks(n, lanes), kThreads, 0, stream,
               args.out.as<To>(), args.parts.as<From>(), args.parts.shape[0], args.parts.strides[0],
               n);
      });
    });
  });
}

void Scale(Stream& stream, const ScaleArgs& args) {
  const int64_t n = args.x.elements();
  WithFloatType(args.x.dtype, [&](auto type) {
    using T = decltype(type);
    WithVector<kVector<T>>(Aligned(Flat(args.x)), [&](auto lanes) {
      Launch(ScaleKernel<T, lanes>, FlatBlocks(n, lanes), kThreads, 0, stream, args.x.as<T>(),
             args.factor, n);
    });
  });
}

void Exchange(Stream& stream, const ExchangeArgs& args) {
  const int64_t n = args.a.elements();
  WithVector<4>(Aligned(Flat(args.a), Flat(args.b)), [&](auto lanes) {
    Launch(ExchangeKernel<lanes>, FlatBlocks(n, lanes), kThreads, 0, stream, args.a.as<float>(),
           args.b.as<float>(), n);
  });
}

// A part for every 64 rows.
void BiasBackward(Stream& stream, const BiasBackwardArgs& args) {
  const int64_t rows = args.dy.shape[0], width = args.dy.shape[1];
  if (width == 0) return;
  const int64_t parts = std::min<int64_t>(CeilDiv(rows, 64), kBiasMostParts);
  const auto bytes = static_cast<size_t>(parts * width) * sizeof(float);
  auto* partials = reinterpret_cast<float*>(stream.Scratch(bytes));
  WithFloatType(args.dy.dtype, [&](auto type) {
    using T = decltype(type);
    const bool vectors = width % kVector<T> == 0 && Aligned(args.dy);
    WithVector<kVector<T>>(vectors, [&](auto n) {
      const int64_t tiles = CeilDiv(width, n * kWarp);
      Launch(BiasBackwardKernel<T, n>, Blocks(tiles * parts), kThreads, 0, stream, partials,
             Rows<T>(args.dy), rows, width, tiles);
    });
  });
  SumParts(stream, args.d_bias, partials, parts, args.accumulate);
}

void SumSquares(Stream& stream, const SumSquaresArgs& args) {
  const int64_t n = args.x.elements(), blocks = CeilDiv(n, kSquaresBlock);
  auto* sums = reinterpret_cast<float*>(stream.Scratch(static_cast<size_t>(SumSquaresScratch(n))));
  float* nonfinite = sums + blocks;
  WithVector<4>(Aligned(Flat(args.x)), [&](auto lanes) {
    Launch(SumSquaresKernel<lanes>, Blocks(blocks), kThreads, 0, stream, sums, nonfinite,
           args.x.as<float>(), n);
  });
  Launch(FinishSquaresKernel, 1, kFinishThreads, 0, stream, args.out.as<float>(), sums, nonfinite,
         blocks, args.weight);
}

}  // namespace tl::cuda
