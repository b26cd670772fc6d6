// SPDX-License-Identifier: Apache-2.0
// Attention over a K/V cache. A block has a chunk of one row's keys and the query heads of one key
// head: it makes their scores, the softmax within the chunk, and the weighted sum of the values. A
// second kernel merges the chunks of a row. Which key goes where follows from its number among the
// row's keys alone, and so does every sum.
#include "kernels/cached_attention.h"

#include <cmath>
#include <limits>
#include <numbers>

#include "kernels/cuda/columns.h"

namespace tl::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kWarps = kThreads / kWarp;
constexpr int kTeam = 8;  // lanes that make a score
constexpr int kTeams = kThreads / kTeam;
constexpr int kMaxD = 256;
constexpr int kChunk = static_cast<int>(kKeyChunk);
constexpr float kInfinity = std::numeric_limits<float>::infinity();
static_assert(kThreads == kTreeKeys);

struct PartSums {
  float max, sum;  // of the scores in units of log 2; of the weights exp2(score - max)
};

template <typename T>
struct CachedParams {
  T* o;
  const T* q;
  const T* k;
  const T* v;
  float* part_values;   // [rows, heads, chunks, d]
  PartSums* part_sums;  // [rows, heads, chunks]
  const int32_t* sequences;
  const int32_t* prefix;
  const int32_t* ancestors;
  int64_t o_row, o_head, q_row, q_head;
  int64_t k_sequence, k_head, k_place, v_sequence, v_head, v_place;
  int64_t cache_sequences, capacity, most_keys, window;
  int64_t heads;
  int chunks;  // of a row, at most
  int group;   // query heads of a key head
  int tiles;   // blocks that share them
  int d;
  int value_lanes;  // that share the columns of a value, a power of two
  float factor;     // scale in units of log 2
};

// The row's keys: those of its prefix, then those that it picks behind. Rows and keys that lie
// outside of the cache give NaN, since a kernel cannot end the program.
struct RowKeys {
  int64_t sequence;
  int prefix;
  int begin, end;  // numbers of the keys that it sees
  int first_chunk, chunks;
  bool known;

  template <typename T>
  __device__ RowKeys(const CachedParams<T>& p, int64_t row)
      : sequence(p.sequences[row]), prefix(p.prefix[row]) {
    const int32_t* const bits = p.ancestors + row * (kTreeKeys / 32);
    int picked = 0, last = 0;
#pragma unroll
    for (int word = 0; word < kTreeKeys / 32; ++word) {
      picked += __popc(static_cast<unsigned>(bits[word]));
      if (bits[word] != 0) last = 32 * word + 32 - __clz(bits[word]);
    }
    known = 0 <= sequence && sequence < p.cache_sequences && 0 <= prefix &&
            int64_t{prefix} + last <= p.capacity && int64_t{prefix} + picked <= p.most_keys;
    end = known ? prefix + picked : 0;
    begin = p.window > 0 && p.window < end ? end - static_cast<int>(p.window) : 0;
    first_chunk = begin / kChunk;
    chunks = begin < end ? (end - 1) / kChunk - first_chunk + 1 : 1;
  }
};

// Writes the places of the keys that the row picks behind its prefix, in order; each thread looks
// at one bit.
__device__ inline void ListTree(const int32_t* bits, int prefix, int* tree) {
  const int j = static_cast<int>(threadIdx.x);
  int below = 0;
#pragma unroll
  for (int word = 0; word < kTreeKeys / 32; ++word) {
    const auto w = static_cast<unsigned>(bits[word]);
    if (word == j / 32 && (w >> (j % 32) & 1u) != 0)
      tree[below + __popc(w & ((1u << (j % 32)) - 1u))] = prefix + j;
    below += __popc(w);
  }
}

// Lane i of a team receives the team's sums of its N / kTeam values from i * N / kTeam on, in the
// first places. kStep: lanes that those to exchange with are away.
template <int kStep = kTeam / 2, int N>
__device__ inline void ShareSums(float (&x)[N]) {
  static_assert(N % kTeam == 0);
  constexpr int kHalf = N * kStep / kTeam;
  const bool upper = (threadIdx.x & kStep) != 0;
#pragma unroll
  for (int i = 0; i < kHalf; ++i) {
    const float sent = upper ? x[i] : x[i + kHalf];
    x[i] = (upper ? x[i + kHalf] : x[i]) + __shfl_xor_sync(kAllLanes, sent, kStep);
  }
  if constexpr (kStep > 1) ShareSums<kStep / 2>(x);
}

// All threads receive f over the values of those whose number is the same modulo kHeads. shared:
// kWarps * kHeads floats.
template <int kHeads, class F>
__device__ inline float HeadReduce(float x, float* shared, const F& f) {
#pragma unroll
  for (int step = kHeads; step < kWarp; step *= 2) x = f(x, __shfl_xor_sync(kAllLanes, x, step));
  const int tid = static_cast<int>(threadIdx.x), head = tid % kHeads;
  if (tid % kWarp < kHeads) shared[tid / kWarp * kHeads + head] = x;
  __syncthreads();
  x = shared[head];
#pragma unroll
  for (int warp = 1; warp < kWarps; ++warp) x = f(x, shared[warp * kHeads + head]);
  return x;
}

template <typename T, int kHeads, int N>
__global__ void __launch_bounds__(kThreads, 3) CachedAttentionKernel(CachedParams<T> p) {
  constexpr int V = kVector<T>;
  // Keys that a team takes at a time, so that their loads overlap and share those of q.
  constexpr int kKeys = kHeads == 1 ? 8 : 4;
  constexpr int kStep = kTeams * kKeys;
  constexpr int kValues = 4;  // that a team loads at a time
  static_assert(kChunk % kStep == 0 && kStep * kHeads % kThreads == 0);
  __shared__ int tree[kTreeKeys];
  __shared__ __align__(16) float q[kHeads * kMaxD];
  __shared__ __align__(16) float weights[kChunk * kHeads];  // first scores
  __shared__ float maxima[kWarps * kHeads], totals[kWarps * kHeads];
  __shared__ __align__(16) float sums[kThreads * V];

  const int64_t row = blockIdx.x / p.chunks;
  const int chunk = static_cast<int>(blockIdx.x % p.chunks);
  const RowKeys keys(p, row);
  if (chunk >= keys.chunks) return;
  const int tid = static_cast<int>(threadIdx.x);
  const int64_t key_head = blockIdx.y / p.tiles;
  const int first_in_group = static_cast<int>(blockIdx.y % p.tiles) * kHeads;
  const int64_t first_head = key_head * p.group + first_in_group;
  const int heads = min(kHeads, p.group - first_in_group);
  const int packs = CeilDiv(p.d, V);
  ListTree(p.ancestors + row * (kTreeKeys / 32), keys.prefix, tree);
  // Four columns of each pack lie together, those of the next pack behind them: so lanes read
  // neighbouring 16 bytes.
  for (int i = tid; i < kHeads * packs * V; i += kThreads) {
    const int h = i / (packs * V), column = i % (packs * V);
    const int at = (column % V / 4 * packs + column / V) * 4 + column % 4;
    q[h * packs * V + at] = h < heads && column < p.d
                                ? Widen(p.q[row * p.q_row + (first_head + h) * p.q_head + column])
                                : 0.0f;
  }
  __syncthreads();

  // The chunk's keys [begin, end), by their numbers in it.
  const int base = (keys.first_chunk + chunk) * kChunk;
  const int begin = max(keys.begin - base, 0), end = min(keys.end - base, kChunk);
  const int64_t sequence = keys.known ? keys.sequence : 0;
  const T* const k = p.k + sequence * p.k_sequence + key_head * p.k_head;
  const T* const v = p.v + sequence * p.v_sequence + key_head * p.v_head;
  const auto place = [&](int t) -> int64_t {
    return base + t < keys.prefix ? base + t : tree[base + t - keys.prefix];
  };
  const auto valid = [&](int t) { return begin <= t && t < end; };

  const int first_step = begin / kStep * kStep;
  for (int step = first_step; step < end; step += kStep) {
    const int lane = tid % kTeam, first = step + tid / kTeam * kKeys;
    const T* key[kKeys];
#pragma unroll
    for (int t = 0; t < kKeys; ++t)
      key[t] = k + (valid(first + t) ? place(first + t) : 0) * p.k_place;
    float scores[kKeys * kHeads] = {};
#pragma unroll 1
    for (int pack = lane; pack < packs; pack += kTeam) {
      Pack<T, V> x[kKeys];
#pragma unroll
      for (int t = 0; t < kKeys; ++t)
        x[t] = LoadRawColumns<V, N>(key[t] + pack * V, valid(first + t) ? p.d - pack * V : 0);
#pragma unroll
      for (int part = 0; part < V / 4; ++part) {
        float wide[kKeys][4];
#pragma unroll
        for (int t = 0; t < kKeys; ++t)
#pragma unroll
          for (int c = 0; c < 4; ++c) wide[t][c] = Widen(x[t].v[part * 4 + c]);
#pragma unroll
        for (int h = 0; h < kHeads; ++h) {
          const Pack<float, 4> y = LoadPack<4>(q + h * packs * V + (part * packs + pack) * 4);
#pragma unroll
          for (int t = 0; t < kKeys; ++t)
#pragma unroll
            for (int c = 0; c < 4; ++c)
              scores[t * kHeads + h] = fmaf(y.v[c], wide[t][c], scores[t * kHeads + h]);
        }
      }
    }
    ShareSums(scores);
    constexpr int kOwn = kKeys * kHeads / kTeam;
    Pack<float, kOwn> own;
#pragma unroll
    for (int i = 0; i < kOwn; ++i)
      own.v[i] = valid(first + (lane * kOwn + i) / kHeads) ? scores[i] * p.factor : -kInfinity;
    StorePack(weights + first * kHeads + lane * kOwn, own);
  }
  __syncthreads();

  float max = -kInfinity, sum = 0.0f;
  const int last = CeilDiv(end, kStep) * kStep * kHeads;
  for (int i = first_step * kHeads + tid; i < last; i += kThreads) max = fmaxf(max, weights[i]);
  max = HeadReduce<kHeads>(max, maxima, [](float a, float b) { return fmaxf(a, b); });
  // Where every score is -inf or NaN there is nothing to shift by.
  const float shift = max == -kInfinity ? 0.0f : max;
  for (int i = first_step * kHeads + tid; i < last; i += kThreads)
    sum += weights[i] = exp2f(weights[i] - shift);
  sum = HeadReduce<kHeads>(sum, totals, [](float a, float b) { return a + b; });
  // Past the barrier in HeadReduce all weights are there.

  const int pack = tid % p.value_lanes, team = tid / p.value_lanes;
  const int teams = kThreads / p.value_lanes;
  Pack<float, V> o[kHeads] = {};
  for (int step = begin / (kValues * teams) * (kValues * teams); step < end;
       step += kValues * teams) {
    Pack<T, V> x[kValues];
#pragma unroll
    for (int i = 0; i < kValues; ++i) {
      const int t = step + i * teams + team;
      x[i] = LoadRawColumns<V, N>(v + (valid(t) ? place(t) : 0) * p.v_place + pack * V,
                                  valid(t) ? p.d - pack * V : 0);
    }
#pragma unroll
    for (int i = 0; i < kValues; ++i) {
      const int t = step + i * teams + team;
      if (!valid(t)) continue;
      const Pack<float, V> wide = Widen(x[i]);
      const Pack<float, kHeads> w = LoadPack<kHeads>(weights + t * kHeads);
#pragma unroll
      for (int h = 0; h < kHeads; ++h)
#pragma unroll
        for (int c = 0; c < V; ++c) o[h].v[c] = fmaf(w.v[h], wide.v[c], o[h].v[c]);
    }
  }

  // A thread knows the sums of head tid % kHeads.
  const bool whole = keys.chunks == 1;
  if (tid < heads) {
    if (whole) {
      maxima[tid] = !keys.known ? nanf("") : keys.begin < keys.end ? 1.0f / sum : 0.0f;
    } else {
      p.part_sums[(row * p.heads + first_head + tid) * p.chunks + chunk] = {max, sum};
    }
  }
#pragma unroll
  for (int h = 0; h < kHeads; ++h) {
    if (h >= heads) continue;
    __syncthreads();
    StorePack(sums + tid * V, o[h]);
    __syncthreads();
    const int64_t head = first_head + h;
    for (int column = tid; column < p.d; column += kThreads) {
      float total = 0.0f;
      for (int i = 0; i < teams; ++i) total += sums[i * p.value_lanes * V + column];
      if (whole) {
        p.o[row * p.o_row + head * p.o_head + column] = Narrow<T>(total * maxima[h]);
      } else {
        p.part_values[((row * p.heads + head) * p.chunks + chunk) * p.d + column] = total;
      }
    }
  }
}

// Merges the chunks of one row and query head.
template <typename T>
__global__ void __launch_bounds__(kThreads) MergeChunksKernel(CachedParams<T> p) {
  const int64_t row = blockIdx.x, head = blockIdx.y, first = (row * p.heads + head) * p.chunks;
  const RowKeys keys(p, row);
  if (keys.chunks == 1) return;
  const PartSums* const parts = p.part_sums + first;
  float max = -kInfinity, total = 0.0f;
  for (int i = 0; i < keys.chunks; ++i) max = fmaxf(max, parts[i].max);
  const float shift = max == -kInfinity ? 0.0f : max;
  for (int i = 0; i < keys.chunks; ++i)
    total = fmaf(exp2f(parts[i].max - shift), parts[i].sum, total);
  const float inverse = 1.0f / total;
  for (int column = static_cast<int>(threadIdx.x); column < p.d; column += kThreads) {
    const float* const values = p.part_values + first * p.d + column;
    float sum = 0.0f;
    for (int i = 0; i < keys.chunks; ++i)
      sum = fmaf(exp2f(parts[i].max - shift), values[static_cast<int64_t>(i) * p.d], sum);
    p.o[row * p.o_row + head * p.o_head + column] = Narrow<T>(sum * inverse);
  }
}

int PowerOfTwoFrom(int64_t least) {
  int power = 1;
  while (power < least) power *= 2;
  return power;
}

template <class F>
void WithHeads(int64_t heads, const F& f) {
  switch (heads) {
    case 1:
      return f(Int<1>());
    case 4:
      return f(Int<4>());
    default:
      return f(Int<8>());
  }
}

}  // namespace

void CachedAttention(Stream& stream, const CachedAttentionArgs& args) {
  const int64_t rows = args.q.shape[0], heads = args.q.shape[1], d = args.q.shape[2];
  const int64_t key_heads = args.k.shape[1], capacity = args.k.shape[2];
  TL_CHECK(0 < d && d <= kMaxD) << "head size " << d;
  TL_CHECK_LT(capacity, int64_t{1} << 30);
  TL_CHECK_LE(heads, 65535);
  const CachedAttentionLaunch launch = LaunchOf(args);
  auto* const scratch = reinterpret_cast<float*>(stream.Scratch(launch.scratch_bytes));
  const float scale = args.scale != 0.0f ? args.scale : 1.0f / std::sqrt(static_cast<float>(d));
  WithFloatType(args.q.dtype, [&](auto type) {
    using T = decltype(type);
    const CachedParams<T> p{.o = args.o.as<T>(),
                            .q = args.q.as<T>(),
                            .k = args.k.as<T>(),
                            .v = args.v.as<T>(),
                            .part_values = scratch + rows * heads * launch.chunks * 2,
                            .part_sums = reinterpret_cast<PartSums*>(scratch),
                            .sequences = args.sequences.as<int32_t>(),
                            .prefix = args.prefix.as<int32_t>(),
                            .ancestors = args.ancestors.as<int32_t>(),
                            .o_row = args.o.strides[0],
                            .o_head = args.o.strides[1],
                            .q_row = args.q.strides[0],
                            .q_head = args.q.strides[1],
                            .k_sequence = args.k.strides[0],
                            .k_head = args.k.strides[1],
                            .k_place = args.k.strides[2],
                            .v_sequence = args.v.strides[0],
                            .v_head = args.v.strides[1],
                            .v_place = args.v.strides[2],
                            .cache_sequences = args.k.shape[0],
                            .capacity = capacity,
                            .most_keys = args.most_keys > 0 ? args.most_keys : capacity,
                            .window = args.window,
                            .heads = heads,
                            .chunks = static_cast<int>(launch.chunks),
                            .group = static_cast<int>(heads / key_heads),
                            .tiles = static_cast<int>(launch.tiles / key_heads),
                            .d = static_cast<int>(d),
                            .value_lanes = PowerOfTwoFrom(CeilDiv(d, int64_t{kVector<T>})),
                            .factor = scale * std::numbers::log2e_v<float>};
    const bool vectors = d % kVector<T> == 0 && Aligned(args.k, args.v);
    WithVector<kVector<T>>(vectors, [&](auto n) {
      WithHeads(launch.heads, [&](auto tile) {
        Launch(CachedAttentionKernel<T, tile, n>,
               dim3(Blocks(rows * launch.chunks).x, static_cast<unsigned>(launch.tiles)), kThreads,
               0, stream, p);
      });
    });
    if (launch.merge_blocks > 0)
      Launch(MergeChunksKernel<T>, dim3(Blocks(rows).x, static_cast<unsigned>(heads)), kThreads, 0,
             stream, p);
  });
}

}  // namespace tl::cuda
