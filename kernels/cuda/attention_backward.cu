// The backward pass on tensor cores (mma.sync), after FlashAttention-2 (Dao 2023). Three kernels:
// one prepares each query's statistics, one makes dK and dV and adds up dQ in fp32, one rounds dQ.
// In the second a block owns kN keys and walks over the queries that see them, of every query head
// of their group in turn; a warp owns 16 keys and forms S^T = K Q^T and dP^T = V dO^T, whose
// accumulators are, rounded, the fragments of P^T and dS^T that dV and dK need. Only dS goes
// through shared memory, for dQ = dS K. Blocks add to a tile of dQ in the order of their keys: each
// waits for its turn, so the bits of the sum depend on the shapes alone. Blocks take their keys by
// a ticket, in that order too, so whoever is waited for runs already.
#include <numbers>
#include <utility>

#include "kernels/cuda/attention_backward.h"

namespace tl::cuda {
namespace {

__device__ inline int WarpCount(int x) {
#pragma unroll
  for (int step = kWarp / 2; step > 0; step /= 2) x += __shfl_xor_sync(kAllLanes, x, step);
  return x;
}

// Tiles of queries whose keys, first to last, meet [k0, k0 + n). The first block that adds to a
// tile of dQ is the one with that tile's first key; every block between it and the last adds.
__device__ inline Range TilesThatSee(const int* begin, const int* end, int tiles, int m, int k0,
                                     int n) {
  int before = 0, until = 0;
  for (int tile = Lane(); tile < tiles; tile += 32) {
    before += end[tile * m + m - 1] <= k0 ? 1 : 0;
    until += begin[tile * m] < k0 + n ? 1 : 0;
  }
  return {WarpCount(before), WarpCount(until)};
}

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
  __shared__ int ticket;
  // The turn that this block waits for or has; in shared memory to spare registers.
  __shared__ int* turn;
  __shared__ int taken;
  const KTile k_tile{reinterpret_cast<T*>(shared)};
  const KTile v_tile{k_tile.data + kN * kD};
  T* const query_tiles = v_tile.data + kN * kD;  // q, dO of either stage
  const typename Traits::DsTile ds_tile{query_tiles + 4 * kM * kD};

  const int tid = static_cast<int>(threadIdx.x), lane = Lane(), warp = tid / 32;
  if (tid == 0) {
    ticket = ptx::AtomicAdd(scratch.ticket, 1);
    turn = nullptr;
  }
  __syncthreads();
  // Under a causal mask the first keys are seen by the most queries: they go first.
  const int columns = p.k_heads * p.batch * kParts;
  const int key_block = ticket / columns, k0 = key_block * kN;
  const int part = kParts == 1 ? 0 : ticket % kParts;
  const int64_t b = ticket % columns / kParts / p.k_heads;
  const int k_head = ticket % columns / kParts % p.k_heads;
  const int tq = p.mask.tq, group = p.group();
  const int warp_row = 16 * warp;

  const int* const begin = scratch.begin + b * scratch.rows;
  const int* const end = scratch.end + b * scratch.rows;
  // Keys that no query sees may be anything, NaN too: they would meet a gradient of zero.
  const int until = end[scratch.rows - 1] > k0 ? end[scratch.rows - 1] - k0 : 0;
  const int from = begin[0] > k0 ? begin[0] - k0 : 0;
  CopyTileAsync<kThreads>(k_tile, p.k.At<const T>(b, k0, k_head), p.k.row, until, p.d,
                          min(from, until));
  CopyTileAsync<kThreads>(v_tile, p.v.At<const T>(b, k0, k_head), p.v.row, p.mask.tk - k0, p.d);
  const auto load = [&](int stage, int head, int tile) {
    const int q0 = tile * kM;
    const QTile q_tile{query_tiles + 2 * stage * kM * kD};
    const QTile do_tile{q_tile.data + kM * kD};
    CopyTileAsync<kThreads>(q_tile, p.q.At<const T>(b, q0, head), p.q.row, tq - q0, p.d);
    CopyTileAsync<kThreads>(do_tile, p.d_o.At<const T>(b, q0, head), p.d_o.row, tq - q0, p.d);
    if (tid < kM / 4) {
      const int64_t row = (b * p.q_heads + head) * scratch.rows + q0 + 4 * tid;
      RowStatistics<kM>& to = statistics[stage];
      ptx::CpAsync16(to.lse + 4 * tid, scratch.lse + row, true);
      ptx::CpAsync16(to.delta + 4 * tid, scratch.delta + row, true);
      ptx::CpAsync16(to.begin + 4 * tid, begin + q0 + 4 * tid, true);
      ptx::CpAsync16(to.end + 4 * tid, end + q0 + 4 * tid, true);
    }
    ptx::CpAsyncCommit();
  };
  const Range tiles = TilesThatSee(begin, end, scratch.tiles, kM, k0, kN);
  const int last_head = (k_head + 1) * group;
  int head = k_head * group;
  if (tiles.begin < tiles.end) {
    load(0, head, tiles.begin);
  } else {
    head = last_head;
    ptx::CpAsyncCommit();
  }

  const float factor = p.scale * std::numbers::log2e_v<float>;
  Accumulators<1, kOut / 8> dk, dv;
  dk.Clear();
  dv.Clear();
  int tile = tiles.begin, stage = 0;
  while (head < last_head) {
    ptx::CpAsyncWait<0>();
    __syncthreads();  // these queries are here, no one needs the last, and dQ of the last is added
    if (tid == 0 && turn != nullptr) ptx::StoreRelease(turn, taken + 1);
    const bool wraps = tile + 1 == tiles.end;
    const int next_tile = wraps ? tiles.begin : tile + 1;
    const int next_head = wraps ? head + 1 : head;
    if (next_head < last_head) load(1 - stage, next_head, next_tile);

    const QTile q_tile{query_tiles + 2 * stage * kM * kD};
    const QTile do_tile{q_tile.data + kM * kD};
    const RowStatistics<kM>& rows = statistics[stage];
    const bool masked = rows.begin[kM - 1] > k0 || rows.end[0] < k0 + kN;
    const int part_col = part * kOut;
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

    const int64_t dq_tile = ((b * p.q_heads + head) * scratch.tiles + tile) * kParts + part;
    if (tid == 0) {
      turn = scratch.turns + dq_tile;
      taken = key_block - rows.begin[0] / kN;
      while (ptx::LoadAcquire(turn) != taken) {
      }
    }
    __syncthreads();  // dS is here, and it is this block's turn
    typename Traits::Dq dq;
    dq.Clear();
    const int dq_row = warp % Traits::kDqRowWarps * 16;
    const int dq_col = part_col + warp / Traits::kDqRowWarps * Traits::kDqCols;
    Multiply<T, kN / 16>(
        dq, [&](int, int step, uint32_t(&a)[4]) { LoadATransposed(ds_tile, 16 * step, dq_row, a); },
        [&](int j, int step, uint32_t(&f)[2][2]) { LoadB(k_tile, 16 * step, dq_col + 16 * j, f); });
    float* const to =
        scratch.dq + dq_tile * Traits::kDqFloats + warp * Traits::kDqCols / 2 * 32 + lane;
#pragma unroll
    for (int i = 0; i < Traits::kDqCols / 2; ++i) {
      const float value = dq.at[0][i / 4][i % 4];
      if (taken == 0) {
        to[i * 32] = value;
      } else {
        ptx::AtomicAdd(to + i * 32, value);
      }
    }
    head = next_head;
    tile = next_tile;
    stage = 1 - stage;
  }
  ptx::CpAsyncWait<0>();
  __syncthreads();  // no one needs the tiles any more
  if (tid == 0 && turn != nullptr) ptx::StoreRelease(turn, taken + 1);
  dk.Scale(p.scale);
  StoreTile(k_tile, warp_row, 0, dk);
  StoreTile(v_tile, warp_row, 0, dv);
  __syncwarp();
  const int cols = p.d - part * kOut < kOut ? p.d - part * kOut : kOut;
  StoreRows<16, kOut>(k_tile, warp_row, p.dk.At<T>(b, k0, k_head) + part * kOut, p.dk.row,
                      p.mask.tk - k0, cols);
  StoreRows<16, kOut>(v_tile, warp_row, p.dv.At<T>(b, k0, k_head) + part * kOut, p.dv.row,
                      p.mask.tk - k0, cols);
}

template <class Traits>
bool Run(Stream& stream, const BackwardParams& p) {
  if (!FitsSharedMemory(Traits::kSharedBytes + sizeof(RowStatistics<Traits::kM>) * 2 + 128))
    return false;
  BackwardScratch scratch{};
  scratch.tiles = CeilDiv(p.mask.tq, Traits::kM);
  scratch.rows = scratch.tiles * Traits::kM;
  const int64_t heads = int64_t{p.batch} * p.q_heads;
  const int64_t tiles = heads * scratch.tiles * Traits::kParts;
  size_t words = 0;
  const auto take = [&words](int64_t count) {  // in cache lines
    return std::exchange(words, words + static_cast<size_t>(CeilDiv(count, 32) * 32));
  };
  const size_t ticket = take(1 + tiles);
  const size_t counters = words;
  const size_t lse = take(heads * scratch.rows), delta = take(heads * scratch.rows);
  const size_t begin = take(int64_t{p.batch} * scratch.rows);
  const size_t end = take(int64_t{p.batch} * scratch.rows);
  const size_t dq = take(tiles * Traits::kDqFloats);
  std::byte* const memory = stream.Scratch(words * 4);
  scratch.ticket = reinterpret_cast<int*>(memory) + ticket;
  scratch.turns = scratch.ticket + 1;
  scratch.lse = reinterpret_cast<float*>(memory) + lse;
  scratch.delta = reinterpret_cast<float*>(memory) + delta;
  scratch.begin = reinterpret_cast<int*>(memory) + begin;
  scratch.end = reinterpret_cast<int*>(memory) + end;
  scratch.dq = reinterpret_cast<float*>(memory) + dq;
  ZeroBytes(stream, memory, counters * 4);

  const auto grid = [&](int x) {
    return dim3(static_cast<unsigned>(x), static_cast<unsigned>(p.q_heads),
                static_cast<unsigned>(p.batch));
  };
  constexpr int kRowsPerBlock = kPrepareThreads / kPrepareTeam<Traits>;
  Launch(PrepareKernel<Traits>, grid(CeilDiv(scratch.rows, kRowsPerBlock)), dim3(kPrepareThreads),
         0, stream, p, scratch);
  const int64_t key_blocks = CeilDiv(p.mask.tk, Traits::kN);
  Launch(BackwardKernel<Traits>, Blocks(key_blocks * p.batch * p.k_heads * Traits::kParts),
         dim3(Traits::kThreads), size_t{Traits::kSharedBytes}, stream, p, scratch);
  Launch(FinishKernel<Traits>, grid(scratch.tiles * Traits::kParts), dim3(Traits::kThreads),
         size_t{Traits::OutTile::kBytes}, stream, p, scratch);
  return true;
}

// The first that fits.
template <class... Traits>
bool RunFirst(Stream& stream, const BackwardParams& p) {
  return (Run<Traits>(stream, p) || ...);
}

// 164 KiB of shared memory for a processor as on A100, and 99 KiB for a block as on smaller GPUs,
// where head sizes above 128 are left to the plain kernels.
template <typename T>
bool RunOf(Stream& stream, const BackwardParams& p) {
  if (p.d <= 64)
    return RunFirst<BackwardTraits<T, 64, 64, 128, 64, 128>, BackwardTraits<T, 64, 64, 64, 64, 64>>(
        stream, p);
  if (p.d <= 96)
    return RunFirst<BackwardTraits<T, 96, 96, 64, 32, 128>, BackwardTraits<T, 96, 96, 32, 32, 64>>(
        stream, p);
  if (p.d <= 128)
    return RunFirst<BackwardTraits<T, 128, 128, 64, 32, 128>,
                    BackwardTraits<T, 128, 128, 32, 16, 64>>(stream, p);
  if (p.d <= 192) return Run<BackwardTraits<T, 192, 96, 32, 32, 64>>(stream, p);
  return Run<BackwardTraits<T, 256, 128, 32, 16, 64>>(stream, p);
}

}  // namespace

bool AttentionBackwardMma(Stream& stream, const BackwardParams& params, DType dtype) {
  return dtype == DType::kBF16 ? RunOf<__nv_bfloat16>(stream, params)
                               : RunOf<__half>(stream, params);
}

}  // namespace tl::cuda
