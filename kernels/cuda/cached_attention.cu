// Attention over a K/V cache. A block has one query head of one row; teams of lanes take its keys
// in turn, each with an online softmax of its own, and the teams' results are merged at the end.
// Which key goes to which team follows from its number among the row's keys alone, and so does
// every sum. No part of a row's keys goes to another block: one long sequence of few heads leaves
// processors without work.
#include "kernels/cached_attention.h"

#include <cmath>
#include <limits>
#include <numbers>

#include "kernels/cuda/columns.h"

namespace tl::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kTeam = 8;  // lanes that share a key
constexpr int kTeams = kThreads / kTeam;
constexpr int kMaxD = 256;
constexpr float kInfinity = std::numeric_limits<float>::infinity();
static_assert(kThreads == kTreeKeys);

template <typename T>
struct CachedParams {
  T* o;
  const T* q;
  const T* k;
  const T* v;
  const int32_t* sequences;
  const int32_t* prefix;
  const int32_t* ancestors;
  int64_t o_row, o_head, q_row, q_head;
  int64_t k_sequence, k_head, k_place, v_sequence, v_head, v_place;
  int64_t cache_sequences, capacity, window;
  int group;  // query heads of a key head
  int d;
  float factor;  // scale in units of log 2
};

// The row's keys: those of its prefix, then those that it picks behind. All threads of the block
// make the list, each looks at one bit.
struct RowKeys {
  int prefix;
  int count;        // of all keys
  int end;          // one more than the last key's place
  const int* tree;  // places behind the prefix, in shared memory

  __device__ RowKeys(int row_prefix, const int32_t* bits, int* shared) {
    const int j = static_cast<int>(threadIdx.x);
    int below = 0, picked = 0, last = 0;
    bool mine = false;
#pragma unroll
    for (int word = 0; word < kTreeKeys / 32; ++word) {
      const auto w = static_cast<unsigned>(bits[word]);
      if (word == j / 32) {
        mine = w >> (j % 32) & 1u;
        below = picked + __popc(w & ((1u << (j % 32)) - 1u));
      }
      picked += __popc(w);
      if (w != 0) last = 32 * word + 32 - __clz(static_cast<int>(w));
    }
    if (mine) shared[below] = row_prefix + j;
    __syncthreads();
    prefix = row_prefix;
    count = prefix + picked;
    end = prefix + last;
    tree = shared;
  }
  __device__ int operator[](int t) const { return t < prefix ? t : tree[t - prefix]; }
};

// One team's softmax over the keys that it has seen; a lane has packs lane, lane + kTeam, ... of o.
template <int V, int kPacks>
struct TeamSums {
  float max = -kInfinity;
  float sum = 0.0f;
  Pack<float, V> o[kPacks] = {};
};

// Calls f(i, column) for this lane's packs.
template <int V, int kPacks, class F>
__device__ inline void ForTeamPacks(const F& f) {
#pragma unroll
  for (int i = 0; i < kPacks; ++i) f(i, (i * kTeam + static_cast<int>(threadIdx.x) % kTeam) * V);
}

// Rows and keys that lie outside of the cache give NaN, since a kernel cannot end the program.
template <typename T, int kPacks, int N>
__global__ void __launch_bounds__(kThreads) CachedAttentionKernel(CachedParams<T> p) {
  constexpr int V = kVector<T>;
  // Keys that a team takes at a time, so that their loads overlap.
  constexpr int kKeys = kPacks * V <= 16 ? 4 : 2;
  __shared__ int tree[kTreeKeys];
  __shared__ float maxima[kTeams];
  __shared__ float shares[kTeams];
  __shared__ __align__(16) float sums[kTeams][kPacks * kTeam * V];

  const int64_t row = blockIdx.x, head = blockIdx.y, key_head = head / p.group;
  const int tid = static_cast<int>(threadIdx.x), team = tid / kTeam;
  const RowKeys keys(p.prefix[row], p.ancestors + row * (kTreeKeys / 32), tree);
  const int64_t sequence = p.sequences[row];
  const bool known =
      0 <= sequence && sequence < p.cache_sequences && 0 <= keys.prefix && keys.end <= p.capacity;
  const int end = known ? keys.count : 0;
  const int begin = p.window > 0 && p.window < end ? end - static_cast<int>(p.window) : 0;
  const T* const k = p.k + (known ? sequence : 0) * p.k_sequence + key_head * p.k_head;
  const T* const v = p.v + (known ? sequence : 0) * p.v_sequence + key_head * p.v_head;
  Pack<float, V> q[kPacks];
  ForTeamPacks<V, kPacks>([&](int i, int col) {
    q[i] = LoadColumns<V, N>(p.q + row * p.q_row + head * p.q_head + col, p.d - col);
  });

  TeamSums<V, kPacks> team_sums;
  for (int step = begin; step < end; step += kTeams * kKeys) {
    const int first = step + team * kKeys;
    int64_t place[kKeys];
    float score[kKeys];
    float max = team_sums.max;
#pragma unroll
    for (int t = 0; t < kKeys; ++t) {
      const bool valid = first + t < end;
      place[t] = valid ? keys[first + t] : 0;
      float dot = 0.0f;
      ForTeamPacks<V, kPacks>([&](int i, int col) {
        const Pack<float, V> x =
            LoadColumns<V, N>(k + place[t] * p.k_place + col, valid ? p.d - col : 0);
#pragma unroll
        for (int c = 0; c < V; ++c) dot = fmaf(q[i].v[c], x.v[c], dot);
      });
      dot = WarpSum<kTeam>(dot) * p.factor;
      score[t] = valid ? dot : -kInfinity;
      max = fmaxf(max, score[t]);
    }
    // Where every score so far is -inf or NaN there is nothing to shift by.
    const float shift = max == -kInfinity ? 0.0f : max;
    const float fade = exp2f(team_sums.max - shift);
    team_sums.max = max;
    team_sums.sum *= fade;
#pragma unroll
    for (int i = 0; i < kPacks; ++i)
#pragma unroll
      for (int c = 0; c < V; ++c) team_sums.o[i].v[c] *= fade;
#pragma unroll
    for (int t = 0; t < kKeys; ++t) {
      const float weight = exp2f(score[t] - shift);
      team_sums.sum += weight;
      ForTeamPacks<V, kPacks>([&](int i, int col) {
        const Pack<float, V> x =
            LoadColumns<V, N>(v + place[t] * p.v_place + col, first + t < end ? p.d - col : 0);
#pragma unroll
        for (int c = 0; c < V; ++c) team_sums.o[i].v[c] = fmaf(weight, x.v[c], team_sums.o[i].v[c]);
      });
    }
  }

  if (tid % kTeam == 0) {
    maxima[team] = team_sums.max;
    shares[team] = team_sums.sum;
  }
  ForTeamPacks<V, kPacks>([&](int i, int col) { StorePack(sums[team] + col, team_sums.o[i]); });
  __syncthreads();
  float max = -kInfinity;
#pragma unroll
  for (int i = 0; i < kTeams; ++i) max = fmaxf(max, maxima[i]);
  const float shift = max == -kInfinity ? 0.0f : max;
  float total = 0.0f;
#pragma unroll
  for (int i = 0; i < kTeams; ++i) total = fmaf(exp2f(maxima[i] - shift), shares[i], total);
  const float inverse = !known ? nanf("") : begin < end ? 1.0f / total : 0.0f;
  for (int col = tid; col < p.d; col += kThreads) {
    float sum = 0.0f;
#pragma unroll 4
    for (int i = 0; i < kTeams; ++i) sum = fmaf(exp2f(maxima[i] - shift), sums[i][col], sum);
    p.o[row * p.o_row + head * p.o_head + col] = Narrow<T>(sum * inverse);
  }
}

// Calls f with the packs of a lane that hold d columns.
template <typename T, class F>
void WithPacks(int64_t d, const F& f) {
  constexpr int64_t kColumns = kTeam * kVector<T>;
  if (d <= kColumns) return f(Int<1>());
  if (d <= 2 * kColumns) return f(Int<2>());
  if (d <= 4 * kColumns) return f(Int<4>());
  if constexpr (4 * kColumns < kMaxD) return f(Int<8>());
}

}  // namespace

void CachedAttention(Stream& stream, const CachedAttentionArgs& args) {
  const int64_t rows = args.q.shape[0], heads = args.q.shape[1], d = args.q.shape[2];
  const int64_t key_heads = args.k.shape[1];
  TL_CHECK(0 < d && d <= kMaxD) << "head size " << d;
  TL_CHECK_LT(args.k.shape[2], int64_t{1} << 30);
  TL_CHECK_LE(heads, 65535);
  const float scale = args.scale != 0.0f ? args.scale : 1.0f / std::sqrt(static_cast<float>(d));
  const dim3 grid(Blocks(rows).x, static_cast<unsigned>(heads));
  WithFloatType(args.q.dtype, [&](auto type) {
    using T = decltype(type);
    const CachedParams<T> p{.o = args.o.as<T>(),
                            .q = args.q.as<T>(),
                            .k = args.k.as<T>(),
                            .v = args.v.as<T>(),
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
                            .capacity = args.k.shape[2],
                            .window = args.window,
                            .group = static_cast<int>(heads / key_heads),
                            .d = static_cast<int>(d),
                            .factor = scale * std::numbers::log2e_v<float>};
    const bool vectors = d % kVector<T> == 0 && Aligned(args.q, args.k, args.v);
    WithVector<kVector<T>>(vectors, [&](auto n) {
      WithPacks<T>(d, [&](auto packs) {
        Launch(CachedAttentionKernel<T, packs, n>, grid, kThreads, 0, stream, p);
      });
    });
  });
}

}  // namespace tl::cuda
