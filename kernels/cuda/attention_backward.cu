// SPDX-License-Identifier: Apache-2.0
// The backward pass on tensor cores (mma.sync), after FlashAttention-2 (Dao 2023). Three kernels:
// one prepares each query's statistics, one makes dK and dV and adds up dQ in fp32, one rounds dQ.
// In the second a block owns kN keys of one query head and walks over the queries that see them,
// last tile first; a warp owns 16 keys and forms S^T = K Q^T and dP^T = V dO^T, whose accumulators
// are, rounded, the fragments of P^T and dS^T that dV and dK need. Only dS goes through shared
// memory, for dQ = dS K.
#include <numbers>

#include "kernels/cuda/attention_backward.h"
#include "kernels/cuda/attention_backward_turns.h"

namespace tl::cuda {
namespace {

// Statistics of the queries in a tile.
template <int kM>
struct RowStatistics {
  float lse[kM];
  float delta[kM];
  int begin[kM];
  int end[kM];
};

// P^T = exp2(factor S^T - lse), and dS^T = P^T dP^T in dp, whose accumulators began at -delta, of
// the queries from `first` on. masked: keys are checked against their queries' ranges.
template <int kM, int kCols>
__device__ inline void FormWeights(Accumulators<1, kCols>& s, Accumulators<1, kCols>& dp,
                                   const RowStatistics<kM>& rows, int first, float factor,
                                   bool masked, int first_key) {
  const int row = first + 2 * (Lane() % 4);
#pragma unroll
  for (int j = 0; j < kCols; ++j) {
    const float2 lse = *reinterpret_cast<const float2*>(rows.lse + row + 8 * j);
#pragma unroll
    for (int c = 0; c < 4; ++c)
      s.at[0][j][c] = Exp2(fmaf(s.at[0][j][c], factor, c % 2 == 0 ? -lse.x : -lse.y));
  }
  if (masked) {
#pragma unroll
    for (int j = 0; j < kCols; ++j) {
      const int2 begin = *reinterpret_cast<const int2*>(rows.begin + row + 8 * j);
      const int2 end = *reinterpret_cast<const int2*>(rows.end + row + 8 * j);
#pragma unroll
      for (int c = 0; c < 4; ++c) {
        const int key = first_key + Lane() / 4 + c / 2 * 8;
        if (key < (c % 2 == 0 ? begin.x : begin.y) || key >= (c % 2 == 0 ? end.x : end.y))
          s.at[0][j][c] = dp.at[0][j][c] = 0.0f;
      }
    }
  }
#pragma unroll
  for (int j = 0; j < kCols; ++j)
#pragma unroll
    for (int c = 0; c < 4; ++c) dp.at[0][j][c] *= s.at[0][j][c];
}

template <class Traits>
__global__ void __launch_bounds__(Traits::kThreads, 1)
    BackwardKernel(BackwardParams p, BackwardScratch scratch) {
  using T = typename Traits::T;
  using QTile = typename Traits::QTile;
  using KTile = typename Traits::KTile;
  constexpr int kM = Traits::kM, kN = Traits::kN, kD = Traits::kD, kOut = Traits::kOut;
  constexpr int kSlice = Traits::kSlice, kThreads = Traits::kThreads, kParts = Traits::kParts;
  TL_DYNAMIC_SHARED(std::byte, shared);
  __shared__ __align__(16) RowStatistics<kM> statistics[2];
  __shared__ BlockWork<T> work;
  const KTile k_tile{reinterpret_cast<T*>(shared)};
  const KTile v_tile{k_tile.data + kN * kD};
  T* const query_tiles = v_tile.data + kN * kD;  // q, dO of either stage
  const typename Traits::DsTile ds_tile{query_tiles + 4 * kM * kD};

  const int tid = static_cast<int>(threadIdx.x), lane = Lane(), warp = tid / 32;
  if (tid == 0) FindWork<Traits>(p, scratch, work);
  __syncthreads();
  const int k0 = work.key_block * kN, warp_row = 16 * warp;
  const int part_col = kParts == 1 ? 0 : work.part * kOut;
  const int* const begin = scratch.begin + int64_t{work.b} * scratch.rows;
  const int* const end = scratch.end + int64_t{work.b} * scratch.rows;
  // Keys that no query sees may be anything, NaN too: they would meet a gradient of zero.
  const int last = end[scratch.rows - 1], until = last > k0 ? last - k0 : 0;
  const int from = begin[0] > k0 ? begin[0] - k0 : 0;
  CopyTileAsync<kThreads>(k_tile, p.k.At<const T>(work.b, k0, work.k_head), p.k.row, until, p.d,
                          min(from, until));
  CopyTileAsync<kThreads>(v_tile, p.v.At<const T>(work.b, k0, work.k_head), p.v.row, p.mask.tk - k0,
                          p.d);
  ptx::CpAsyncCommit();
  const auto load = [&](int stage, int tile) {
    const int q0 = tile * kM;
    const QTile q_tile{query_tiles + 2 * stage * kM * kD};
    const QTile do_tile{q_tile.data + kM * kD};
    CopyTileAsync<kThreads>(q_tile, work.q + q0 * p.q.row, p.q.row, p.mask.tq - q0, p.d);
    CopyTileAsync<kThreads>(do_tile, work.d_o + q0 * p.d_o.row, p.d_o.row, p.mask.tq - q0, p.d);
    if (tid < kM / 4) {
      const int row = q0 + 4 * tid;
      const int64_t range = int64_t{work.b} * scratch.rows + row;
      RowStatistics<kM>& to = statistics[stage];
      ptx::CpAsync16(to.lse + 4 * tid, scratch.lse + work.statistic + row, true);
      ptx::CpAsync16(to.delta + 4 * tid, scratch.delta + work.statistic + row, true);
      ptx::CpAsync16(to.begin + 4 * tid, scratch.begin + range, true);
      ptx::CpAsync16(to.end + 4 * tid, scratch.end + range, true);
    }
    ptx::CpAsyncCommit();
  };
  const Range tiles = TilesThatSee(begin, end, scratch.tiles, kM, k0, kN);
  if (tiles.begin < tiles.end) load(0, tiles.end - 1);

  const float factor = p.scale * std::numbers::log2e_v<float>;
  Accumulators<1, kOut / 8> dk, dv;
  dk.Clear();
  dv.Clear();
  int stage = 0;
  for (int tile = tiles.end - 1; tile >= tiles.begin; --tile) {
    ptx::CpAsyncWait<0>();
    __syncthreads();  // these queries are here, no one needs the last, and dQ of the last is added
    if (tile > tiles.begin) load(1 - stage, tile - 1);
    if (tid == 0 && work.turn != nullptr) ptx::StoreRelease(work.turn, work.taken + 1);

    const QTile q_tile{query_tiles + 2 * stage * kM * kD};
    const QTile do_tile{q_tile.data + kM * kD};
    const RowStatistics<kM>& rows = statistics[stage];
    const bool masked = rows.begin[kM - 1] > k0 || rows.end[0] < k0 + kN;
#pragma unroll 1
    for (int first = 0; first < kM; first += kSlice) {
      Accumulators<1, kSlice / 8> s, dp;
      s.Clear();
#pragma unroll
      for (int j = 0; j < kSlice / 8; ++j) {
        const float2 delta =
            *reinterpret_cast<const float2*>(rows.delta + first + 8 * j + 2 * (lane % 4));
        dp.at[0][j][0] = dp.at[0][j][2] = -delta.x;
        dp.at[0][j][1] = dp.at[0][j][3] = -delta.y;
      }
      Multiply<T, kD / 16>(
          s, [&](int, int step, uint32_t(&a)[4]) { LoadA(k_tile, warp_row, 16 * step, a); },
          [&](int j, int step, uint32_t(&f)[2][2]) {
            LoadBTransposed(q_tile, first + 16 * j, 16 * step, f);
          });
      Multiply<T, kD / 16>(
          dp, [&](int, int step, uint32_t(&a)[4]) { LoadA(v_tile, warp_row, 16 * step, a); },
          [&](int j, int step, uint32_t(&f)[2][2]) {
            LoadBTransposed(do_tile, first + 16 * j, 16 * step, f);
          });
      FormWeights(s, dp, rows, first, factor, masked, k0 + warp_row);
      StoreTile(ds_tile, warp_row, first, dp);
      Multiply<T, kSlice / 16>(
          dv, [&](int, int step, uint32_t(&a)[4]) { PackA<T>(s, 0, step, a); },
          [&](int j, int step, uint32_t(&f)[2][2]) {
            LoadB(do_tile, first + 16 * step, part_col + 16 * j, f);
          });
      Multiply<T, kSlice / 16>(
          dk, [&](int, int step, uint32_t(&a)[4]) { PackA<T>(dp, 0, step, a); },
          [&](int j, int step, uint32_t(&f)[2][2]) {
            LoadB(q_tile, first + 16 * step, part_col + 16 * j, f);
          });
    }

    __syncthreads();  // dS is here
    typename Traits::Dq dq;
    dq.Clear();
    const int dq_row = warp % Traits::kDqRowWarps * 16;
    const int dq_col = part_col + warp / Traits::kDqRowWarps * Traits::kDqCols;
    Multiply<T, kN / 16>(
        dq, [&](int, int step, uint32_t(&a)[4]) { LoadATransposed(ds_tile, 16 * step, dq_row, a); },
        [&](int j, int step, uint32_t(&f)[2][2]) { LoadB(k_tile, 16 * step, dq_col + 16 * j, f); });
    const int before = work.key_block - rows.begin[0] / kN;
    const int64_t dq_tile = work.dq_tile + tile * kParts;
    WaitForTurn(scratch.turns + dq_tile, before);
    AddTo(scratch.dq + dq_tile * Traits::kDqFloats + warp * Traits::kDqCols * 16, dq, before == 0);
    if (tid == 0) {
      work.turn = scratch.turns + dq_tile;
      work.taken = before;
    }
    stage = 1 - stage;
  }
  ptx::CpAsyncWait<0>();
  __syncthreads();  // no one needs the tiles any more, and dQ of the last is added
  if (tid == 0 && work.turn != nullptr) ptx::StoreRelease(work.turn, work.taken + 1);
  const bool shared_keys = p.group() > 1;
  float* const sums = scratch.sums + int64_t{work.sum} * Traits::kSumFloats + warp * kOut * 32;
  if (shared_keys) {  // all but the last head leave their sums to the next
    int* const turn = scratch.sum_turns + work.sum;
    WaitForTurn(turn, work.before);
    if (work.before < p.group() - 1) {
      AddTo(sums, dk, work.before == 0);
      AddTo(sums + kOut * 16, dv, work.before == 0);
      __syncthreads();
      if (tid == 0) ptx::StoreRelease(turn, work.before + 1);
      return;
    }
  }
  if (shared_keys) AddFrom(sums, dk);
  dk.Scale(p.scale);
  const typename Traits::SumTile dk_tile{k_tile.data}, dv_tile{v_tile.data};
  StoreTile(dk_tile, warp_row, 0, dk);
  __syncwarp();
  if (shared_keys) AddFrom(sums + kOut * 16, dv);
  StoreTile(dv_tile, warp_row, 0, dv);
  __syncwarp();
  const int cols = p.d - part_col < kOut ? p.d - part_col : kOut;
  StoreRows<16, kOut>(dk_tile, warp_row, p.dk.At<T>(work.b, k0, work.k_head) + part_col, p.dk.row,
                      p.mask.tk - k0, cols);
  StoreRows<16, kOut>(dv_tile, warp_row, p.dv.At<T>(work.b, k0, work.k_head) + part_col, p.dv.row,
                      p.mask.tk - k0, cols);
}

template <class Traits>
AttentionLaunch LaunchOf(const BackwardParams& p) {
  const BackwardLayout<Traits> layout(p);
  return {.grid = Blocks(int64_t{layout.key_blocks} * p.batch * p.q_heads * Traits::kParts),
          .threads = Traits::kThreads,
          .shared_bytes = Traits::kSharedBytes,
          .keys = Traits::kN,
          .scratch_bytes = layout.bytes()};
}

template <class Traits>
void Run(Stream& stream, const BackwardParams& p) {
  const AttentionLaunch launch = LaunchOf<Traits>(p);
  const BackwardLayout<Traits> layout(p);
  std::byte* const memory = stream.Scratch(launch.scratch_bytes);
  const BackwardScratch scratch = layout.At(memory);
  ZeroBytes(stream, memory, layout.counter_bytes());
  const auto grid = [&](int x) {
    return dim3(static_cast<unsigned>(x), static_cast<unsigned>(p.q_heads),
                static_cast<unsigned>(p.batch));
  };
  constexpr int kRowsPerBlock = kPrepareThreads / kPrepareTeam<Traits>;
  Launch(PrepareKernel<Traits>, grid(CeilDiv(scratch.rows, kRowsPerBlock)), dim3(kPrepareThreads),
         0, stream, p, scratch);
  Launch(BackwardKernel<Traits>, launch.grid, dim3(launch.threads), launch.shared_bytes, stream, p,
         scratch);
  Launch(FinishKernel<Traits>, grid(scratch.tiles * Traits::kParts), dim3(Traits::kThreads),
         size_t{Traits::OutTile::kBytes}, stream, p, scratch);
}

// 164 KiB of shared memory for a processor as on A100, and 99 KiB for a block as on smaller GPUs,
// where head sizes above 128 are left to the plain kernels.
template <typename T, class F>
bool WithTraits(int d, const F& f) {
  if (d <= 64)
    return WithFirstThatFits<BackwardTraits<T, 64, 64, 128, 64, 128>,
                             BackwardTraits<T, 64, 64, 64, 64, 64>>(f);
  if (d <= 96)
    return WithFirstThatFits<BackwardTraits<T, 96, 96, 64, 32, 128>,
                             BackwardTraits<T, 96, 96, 32, 32, 64>>(f);
  if (d <= 128)
    return WithFirstThatFits<BackwardTraits<T, 128, 128, 64, 32, 128>,
                             BackwardTraits<T, 128, 128, 32, 16, 64>>(f);
  if (d <= 192) return WithFirstThatFits<BackwardTraits<T, 192, 96, 32, 32, 64>>(f);
  return WithFirstThatFits<BackwardTraits<T, 256, 128, 32, 16, 64>>(f);
}

template <class F>
bool WithTraits(const BackwardParams& p, DType dtype, const F& f) {
  return dtype == DType::kBF16 ? WithTraits<__nv_bfloat16>(p.d, f) : WithTraits<__half>(p.d, f);
}

}  // namespace

std::optional<AttentionLaunch> BackwardMmaLaunch(const BackwardParams& p, DType dtype) {
  std::optional<AttentionLaunch> launch;
  WithTraits(p, dtype, [&]<class Traits>(Traits) { launch = LaunchOf<Traits>(p); });
  return launch;
}

bool AttentionBackwardMma(Stream& stream, const BackwardParams& p, DType dtype) {
  return WithTraits(p, dtype, [&]<class Traits>(Traits) { Run<Traits>(stream, p); });
}

}  // namespace tl::cuda
