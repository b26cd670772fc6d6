// SPDX-License-Identifier: Apache-2.0
// Attention by fused multiply-adds: for fp32, and for views that the tensor cores' copies cannot
// read. A warp owns one query or one key and meets the others 32 at a time: each lane has the
// scores of one of them, then each lane has some of the vectors' columns. Sums follow the order of
// keys or queries.
#include <limits>
#include <numbers>

#include "kernels/cuda/attention_params.h"
#include "kernels/cuda/common.h"

namespace tl::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kMaxD = 256;
constexpr int kColumns = kMaxD / kWarp;  // of a lane
constexpr float kInfinity = std::numeric_limits<float>::infinity();

__device__ inline float WarpMax(float x) {
#pragma unroll
  for (int i = kWarp / 2; i > 0; i /= 2) x = fmaxf(x, __shfl_xor_sync(kAllLanes, x, i));
  return x;
}

// A vector's columns lie in packs of V; lane l of a warp has packs l, l + 32, ..
template <int V, class F>
__device__ inline void ForPacks(int d, const F& f) {
#pragma unroll
  for (int i = 0; i < kColumns / V; ++i) {
    const int col = (i * kWarp + static_cast<int>(threadIdx.x)) * V;
    if (col < d) f(i, col);
  }
}

template <int V, typename T>
__device__ inline void LoadVector(float* to, const T* from, int d) {
  ForPacks<V>(d, [&](int, int col) { StorePack(to + col, LoadF<V>(from + col)); });
}

template <int V, typename T>
__device__ inline float Dot(const float* a, const T* b, int d) {
  float sum = 0.0f;
#pragma unroll 4
  for (int col = 0; col < d; col += V) {
    const Pack<float, V> x = LoadPack<V>(a + col), y = LoadF<V>(b + col);
#pragma unroll
    for (int k = 0; k < V; ++k) sum = fmaf(x.v[k], y.v[k], sum);
  }
  return sum;
}

// sums += the sum over i < n of weights[i] vector_i, this lane's columns of it.
template <int V, typename T>
__device__ inline void AddVectors(float (&sums)[kColumns], const float* weights, const T* vectors,
                                  int64_t stride, int n, int d) {
#pragma unroll 2
  for (int i = 0; i < n; ++i) {
    ForPacks<V>(d, [&](int c, int col) {
      const Pack<float, V> x = LoadF<V>(vectors + i * stride + col);
#pragma unroll
      for (int k = 0; k < V; ++k) sums[c * V + k] = fmaf(weights[i], x.v[k], sums[c * V + k]);
    });
  }
}

template <int V, typename T>
__device__ inline void StoreVector(T* to, const float (&sums)[kColumns], float factor, int d) {
  ForPacks<V>(d, [&](int c, int col) {
    Pack<float, V> x;
#pragma unroll
    for (int k = 0; k < V; ++k) x.v[k] = factor * sums[c * V + k];
    StoreF(to + col, x);
  });
}

// Blocks of kWarps warps (threadIdx.y); gridDim.x covers queries, y heads, z the batch.
template <typename T, int V>
__global__ void __launch_bounds__(kWarp* kWarps, 4) PlainForwardKernel(ForwardParams p) {
  __shared__ __align__(16) float q_rows[kWarps][kMaxD];
  __shared__ float weight_rows[kWarps][kWarp];
  const int warp = static_cast<int>(threadIdx.y), lane = static_cast<int>(threadIdx.x);
  const int query = static_cast<int>(blockIdx.x) * kWarps + warp;
  if (query >= p.mask.tq) return;
  const int64_t head = blockIdx.y, b = blockIdx.z, k_head = head / (p.q_heads / p.k_heads);
  float* q = q_rows[warp];
  float* weights = weight_rows[warp];
  LoadVector<V>(q, p.q.At<const T>(b, query, head), p.d);
  __syncwarp();
  const Range keys = p.mask.Keys(b, query);
  const float factor = p.scale * std::numbers::log2e_v<float>;
  float max = -kInfinity, sum = 0.0f;
  float o[kColumns] = {};
  for (int k0 = keys.begin; k0 < keys.end; k0 += kWarp) {
    const bool mine = k0 + lane < keys.end;
    const float s =
        mine ? factor * Dot<V>(q, p.k.At<const T>(b, k0 + lane, k_head), p.d) : -kInfinity;
    const float new_max = fmaxf(max, WarpMax(s));
    const float shift = new_max == -kInfinity ? 0.0f : new_max;
    const float correction = exp2f(max - shift);
    const float weight = exp2f(s - shift);
    sum = sum * correction + WarpSum(weight);
    max = new_max;
#pragma unroll
    for (int c = 0; c < kColumns; ++c) o[c] *= correction;
    weights[lane] = weight;
    __syncwarp();
    const int end = keys.end - k0 < kWarp ? keys.end - k0 : kWarp;
    AddVectors<V>(o, weights, p.v.At<const T>(b, k0, k_head), p.v.row, end, p.d);
    __syncwarp();
  }
  StoreVector<V>(p.o.At<T>(b, query, head), o, sum == 0.0f ? 0.0f : 1.0f / sum, p.d);
  if (lane == 0) {
    const float shift = max == -kInfinity ? 0.0f : max;
    p.lse[(b * p.q_heads + head) * p.mask.tq + query] =
        sum == 0.0f ? -kInfinity : fmaf(shift, std::numbers::ln2_v<float>, logf(sum));
  }
}

__device__ inline float Weight(float dot, const BackwardParams& p, float lse) {
  return exp2f((dot * p.scale - lse) * std::numbers::log2e_v<float>);
}

// dQ and delta of one query; blocks as in the forward pass.
template <typename T, int V>
__global__ void __launch_bounds__(kWarp* kWarps, 4) PlainQueryGradientKernel(BackwardParams p) {
  __shared__ __align__(16) float q_rows[kWarps][kMaxD];
  __shared__ __align__(16) float do_rows[kWarps][kMaxD];
  __shared__ float ds_rows[kWarps][kWarp];
  const int warp = static_cast<int>(threadIdx.y), lane = static_cast<int>(threadIdx.x);
  const int query = static_cast<int>(blockIdx.x) * kWarps + warp;
  if (query >= p.mask.tq) return;
  const int64_t head = blockIdx.y, b = blockIdx.z, k_head = head / p.group();
  float* q = q_rows[warp];
  float* d_o = do_rows[warp];
  LoadVector<V>(q, p.q.At<const T>(b, query, head), p.d);
  LoadVector<V>(d_o, p.d_o.At<const T>(b, query, head), p.d);
  float delta = 0.0f;
  const T* o = p.o.At<const T>(b, query, head);
  ForPacks<V>(p.d, [&](int, int col) {
    const Pack<float, V> x = LoadF<V>(o + col);
#pragma unroll
    for (int k = 0; k < V; ++k) delta = fmaf(d_o[col + k], x.v[k], delta);
  });
  delta = WarpSum(delta);
  const int64_t statistic = (b * p.q_heads + head) * p.mask.tq + query;
  if (lane == 0) p.delta[statistic] = delta;
  __syncwarp();
  const float lse = p.lse[statistic];
  const Range keys = p.mask.Keys(b, query);
  float dq[kColumns] = {};
  for (int k0 = keys.begin; k0 < keys.end; k0 += kWarp) {
    if (k0 + lane < keys.end) {
      const float weight = Weight(Dot<V>(q, p.k.At<const T>(b, k0 + lane, k_head), p.d), p, lse);
      const float dp = Dot<V>(d_o, p.v.At<const T>(b, k0 + lane, k_head), p.d);
      ds_rows[warp][lane] = weight * (dp - delta);
    }
    __syncwarp();
    const int end = keys.end - k0 < kWarp ? keys.end - k0 : kWarp;
    AddVectors<V>(dq, ds_rows[warp], p.k.At<const T>(b, k0, k_head), p.k.row, end, p.d);
    __syncwarp();
  }
  StoreVector<V>(p.dq.At<T>(b, query, head), dq, p.scale, p.d);
}

// dK and dV of one key, from all query heads that share it; gridDim.x covers keys, y key heads.
template <typename T, int V>
__global__ void __launch_bounds__(kWarp* kWarps, 4) PlainKeyGradientKernel(BackwardParams p) {
  __shared__ __align__(16) float k_rows[kWarps][kMaxD];
  __shared__ __align__(16) float v_rows[kWarps][kMaxD];
  __shared__ float p_rows[kWarps][kWarp];
  __shared__ float ds_rows[kWarps][kWarp];
  const int warp = static_cast<int>(threadIdx.y), lane = static_cast<int>(threadIdx.x);
  const int key = static_cast<int>(blockIdx.x) * kWarps + warp;
  if (key >= p.mask.tk) return;
  const int64_t k_head = blockIdx.y, b = blockIdx.z;
  LoadVector<V>(k_rows[warp], p.k.At<const T>(b, key, k_head), p.d);
  LoadVector<V>(v_rows[warp], p.v.At<const T>(b, key, k_head), p.d);
  __syncwarp();
  const Range queries = p.mask.Queries(b, key);
  float dk[kColumns] = {}, dv[kColumns] = {};
  for (int64_t head = k_head * p.group(); head < (k_head + 1) * p.group(); ++head) {
    for (int q0 = queries.begin; q0 < queries.end; q0 += kWarp) {
      if (q0 + lane < queries.end) {
        const int64_t statistic = (b * p.q_heads + head) * p.mask.tq + q0 + lane;
        const float weight = Weight(Dot<V>(k_rows[warp], p.q.At<const T>(b, q0 + lane, head), p.d),
                                    p, p.lse[statistic]);
        const float dp = Dot<V>(v_rows[warp], p.d_o.At<const T>(b, q0 + lane, head), p.d);
        p_rows[warp][lane] = weight;
        ds_rows[warp][lane] = weight * (dp - p.delta[statistic]);
      }
      __syncwarp();
      const int end = queries.end - q0 < kWarp ? queries.end - q0 : kWarp;
      AddVectors<V>(dv, p_rows[warp], p.d_o.At<const T>(b, q0, head), p.d_o.row, end, p.d);
      AddVectors<V>(dk, ds_rows[warp], p.q.At<const T>(b, q0, head), p.q.row, end, p.d);
      __syncwarp();
    }
  }
  StoreVector<V>(p.dk.At<T>(b, key, k_head), dk, p.scale, p.d);
  StoreVector<V>(p.dv.At<T>(b, key, k_head), dv, 1.0f, p.d);
}

dim3 Grid(int rows, int heads, int batch) {
  return {static_cast<unsigned>(CeilDiv(rows, kWarps)), static_cast<unsigned>(heads),
          static_cast<unsigned>(batch)};
}

// f(T, V): packs of fp32 where every vector starts at a multiple of 16 bytes.
template <class F, class... Views>
void WithPack(DType dtype, const F& f, const Views&... views) {
  WithFloatType(dtype, [&](auto type) {
    if constexpr (std::is_same_v<decltype(type), float>) {
      if ((views.Aligned(sizeof(float)) && ...)) return f(type, Int<4>());
    }
    f(type, Int<1>());
  });
}

}  // namespace

void AttentionForwardPlain(Stream& stream, const ForwardParams& p, DType dtype) {
  const auto run = [&](auto type, auto pack) {
    Launch(PlainForwardKernel<decltype(type), pack.value>, Grid(p.mask.tq, p.q_heads, p.batch),
           dim3(kWarp, kWarps), 0, stream, p);
  };
  WithPack(dtype, run, p.o, p.q, p.k, p.v);
}

void AttentionBackwardPlain(Stream& stream, const BackwardParams& p, DType dtype) {
  const auto run = [&](auto type, auto pack) {
    using T = decltype(type);
    const dim3 block(kWarp, kWarps);
    Launch(PlainQueryGradientKernel<T, pack.value>, Grid(p.mask.tq, p.q_heads, p.batch), block, 0,
           stream, p);
    Launch(PlainKeyGradientKernel<T, pack.value>, Grid(p.mask.tk, p.k_heads, p.batch), block, 0,
           stream, p);
  };
  WithPack(dtype, run, p.dq, p.dk, p.dv, p.d_o, p.o, p.q, p.k, p.v);
}

}  // namespace tl::cuda
