// SPDX-License-Identifier: Apache-2.0
#include <omp.h>

#include <cmath>
#include <cstring>
#include <numbers>

#include "kernels/attention.h"
#include "kernels/cpu/attention_plan.h"
#include "kernels/cpu/attention_simd.h"

namespace tl::cpu {
namespace {

// Products are of transposed scores, keys in rows and queries in columns: then P^T and dS^T are
// left operands as they are, and softmax statistics lie along vectors.
constexpr int64_t kBackwardQueryTile = 128;
constexpr int64_t kBackwardKeyTile = 256;

// Bytes of packed operands, by their sizes.
struct PackedSizes {
  size_t query_columns;  // [d, q_tile]: Q^T, dO^T
  size_t query_rows;     // [q_tile, d]: Q, dO
};

// One thread's working memory. Per key tile of the task: K, V [k_tile, d], K^T [d, k_tile] and the
// sums of dK, dV. Per query tile of one head: the packed operands and the sum of dQ^T [d, q_tile].
struct BackwardSlot {
  std::byte *k, *v, *k_transposed;
  float *dk, *dv, *dq, *lse2, *delta;
  std::byte *q_columns, *q_rows, *do_columns, *do_rows;
  std::byte* seen;  // [q_tiles] whether dq holds a sum
  std::byte *stage, *part_transposed;
  float *s, *dp;

  BackwardSlot(Carver& carver, const AttentionShape& shape, const PackedSizes& packed) {
    const auto element = static_cast<int64_t>(shape.tile_element());
    const int64_t keys = shape.k_tiles * shape.k_tile, queries = shape.q_tiles * shape.q_tile;
    k = carver.Take(keys * shape.d * element);
    v = carver.Take(keys * shape.d * element);
    k_transposed = carver.Take(keys * shape.d * element);
    dk = carver.Take<float>(keys * shape.d);
    dv = carver.Take<float>(keys * shape.d);
    dq = carver.Take<float>(queries * shape.d);
    lse2 = carver.Take<float>(queries);
    delta = carver.Take<float>(queries);
    q_columns = carver.Take(shape.q_tiles * static_cast<int64_t>(packed.query_columns));
    q_rows = carver.Take(shape.q_tiles * static_cast<int64_t>(packed.query_rows));
    do_columns = carver.Take(shape.q_tiles * static_cast<int64_t>(packed.query_columns));
    do_rows = carver.Take(shape.q_tiles * static_cast<int64_t>(packed.query_rows));
    seen = carver.Take(shape.q_tiles);
    stage = carver.Take(shape.q_tile * shape.d * 4);
    part_transposed = carver.Take(shape.k_tile * shape.d * element);
    const int64_t tile = shape.k_tile * shape.q_tile;
    s = carver.Take<float>(tile);
    dp = carver.Take<float>(tile);
  }
};

// Where there are too few heads for the threads, the keys of a head are cut into parts whose shares
// of dQ are kept apart and added in order.
struct Partials {
  float* dq = nullptr;        // [parts, B, Hq, q_tiles, d, q_tile]
  std::byte* seen = nullptr;  // [parts, B, Hq, q_tiles]

  Partials(Carver& carver, const AttentionShape& shape, int64_t parts) {
    if (parts == 1) return;
    const int64_t tiles = parts * shape.batch * shape.q_heads * shape.q_tiles;
    dq = carver.Take<float>(tiles * shape.d * shape.q_tile);
    seen = carver.Take(tiles);
  }
};

class Backward {
 public:
  Backward(const AttentionBackwardArgs& args, const AttentionShape& shape)
      : args_(args),
        shape_(shape),
        packed_{PackedBytes(shape.tile_type, shape.d, shape.q_tile),
                PackedBytes(shape.tile_type, shape.q_tile, shape.d)} {}

  void Run(Stream& stream) {
    const int threads = omp_get_max_threads();
    const bool segments = static_cast<bool>(args_.mask.q_segments);
    const int64_t heads = shape_.batch * shape_.k_heads;
    const int64_t parts = PartsPerTask(heads, threads, shape_.k_tiles);
    Carver measure(nullptr);
    MaskRanges(measure, shape_, segments, true);
    Partials(measure, shape_, parts);
    Carver slot_measure(nullptr);
    BackwardSlot(slot_measure, shape_, packed_);
    const size_t slot_bytes = slot_measure.used();
    std::byte* scratch = stream.Scratch(measure.used() + slot_bytes * static_cast<size_t>(threads));
    Carver carver(scratch);
    MaskRanges ranges(carver, shape_, segments, true);
    Partials partials(carver, shape_, parts);
    std::byte* slots = scratch + carver.used();
    ranges.Fill(shape_, args_.mask);
    const std::vector<int64_t> cuts = CutKeys(ranges, parts);

#pragma omp parallel
    {
      const OneThreadScope one_thread;
      Carver own(slots + slot_bytes * static_cast<size_t>(omp_get_thread_num()));
      BackwardSlot slot(own, shape_, packed_);
#pragma omp for schedule(dynamic, 1)
      for (int64_t task = 0; task < heads * parts; ++task) {
        const int64_t head = task % heads, part = task / heads;
        RunPart(slot, ranges, partials, head / shape_.k_heads, head % shape_.k_heads, part,
                cuts[static_cast<size_t>(part)], cuts[static_cast<size_t>(part) + 1]);
      }
      if (parts > 1) {
#pragma omp for schedule(static)
        for (int64_t tile = 0; tile < shape_.batch * shape_.q_heads * shape_.q_tiles; ++tile)
          SumPartials(slot, partials, parts, tile);
      }
    }
  }

 private:
  // Key tiles [cuts[p], cuts[p+1]) are part p, of about equal work (as the first batch entry's mask
  // has it).
  std::vector<int64_t> CutKeys(const MaskRanges& ranges, int64_t parts) const {
    std::vector<int64_t> work(static_cast<size_t>(shape_.k_tiles) + 1, 0);
    for (int64_t tile = 0; tile < shape_.k_tiles; ++tile) {
      int64_t& sum = work[static_cast<size_t>(tile) + 1];
      sum = work[static_cast<size_t>(tile)] + 1;
      for (int64_t j = tile * shape_.k_tile; j < (tile + 1) * shape_.k_tile; ++j)
        sum += ranges.QHi(0)[j] - ranges.QLo(0)[j];
    }
    std::vector<int64_t> cuts(static_cast<size_t>(parts) + 1, shape_.k_tiles);
    int64_t tile = 0;
    for (int64_t part = 0; part < parts; ++part) {
      while (tile < shape_.k_tiles && work[static_cast<size_t>(tile)] * parts < work.back() * part)
        ++tile;
      cuts[static_cast<size_t>(part)] = tile;
    }
    return cuts;
  }

  void RunPart(BackwardSlot& slot, const MaskRanges& ranges, const Partials& partials, int64_t b,
               int64_t k_head, int64_t part, int64_t tile_begin, int64_t tile_end) {
    const int64_t d = shape_.d;
    for (int64_t tile = tile_begin; tile < tile_end; ++tile)
      LoadKeys(slot, ranges, b, k_head, tile);
    const int64_t rows = (tile_end - tile_begin) * shape_.k_tile;
    std::fill_n(slot.dk + tile_begin * shape_.k_tile * d, rows * d, 0.0f);
    std::fill_n(slot.dv + tile_begin * shape_.k_tile * d, rows * d, 0.0f);
    for (int64_t g = 0; g < shape_.group; ++g) {
      const int64_t head = k_head * shape_.group + g;
      std::memset(slot.seen, 0, static_cast<size_t>(shape_.q_tiles));
      LoadQueries(slot, ranges, b, head, part, tile_begin, tile_end);
      for (int64_t tile = tile_begin; tile < tile_end; ++tile) {
        for (int64_t q = 0; q < shape_.q_tiles; ++q) RunTile(slot, ranges, b, tile, q);
      }
      for (int64_t q = 0; q < shape_.q_tiles; ++q) FinishQueries(slot, partials, b, head, part, q);
    }
    for (int64_t tile = tile_begin; tile < tile_end; ++tile) {
      const int64_t k0 = tile * shape_.k_tile;
      const auto store = [&](const Tensor& x, const float* src, float factor) {
        StoreRows({.dst = Row(x, b, k0, k_head),
                   .to = shape_.dtype,
                   .ld = x.strides[1],
                   .src = src + k0 * d,
                   .rows = std::min(shape_.k_tile, shape_.tk - k0),
                   .d = d,
                   .factor = factor});
      };
      store(args_.dk, slot.dk, shape_.scale);
      store(args_.dv, slot.dv, 1.0f);
    }
  }

  void LoadKeys(BackwardSlot& slot, const MaskRanges& ranges, int64_t b, int64_t k_head,
                int64_t tile) {
    const int64_t k0 = tile * shape_.k_tile;
    const Touched seen = SeenKeys(ranges, shape_, b, k0);
    const size_t offset = static_cast<size_t>(k0 * shape_.d) * shape_.tile_element();
    const auto copy = [&](const Tensor& x, std::byte* dst) {
      CopyRows({.dst = dst + offset,
                .to = shape_.tile_type,
                .src = Row(x, b, k0, k_head),
                .from = shape_.dtype,
                .ld = x.strides[1],
                .rows = seen.end,
                .padded_rows = shape_.k_tile,
                .d = shape_.d});
      std::memset(dst + offset, 0,
                  static_cast<size_t>(seen.begin * shape_.d) * shape_.tile_element());
    };
    copy(args_.k, slot.k);
    copy(args_.v, slot.v);
    TransposeTile(shape_.tile_type, shape_.k_tile, shape_.d, slot.k + offset,
                  slot.k_transposed + offset);
  }

  // Statistics of all query tiles, and the operands of those that see keys of this part.
  void LoadQueries(BackwardSlot& slot, const MaskRanges& ranges, int64_t b, int64_t head,
                   int64_t part, int64_t tile_begin, int64_t tile_end) {
    const int64_t first_key = tile_begin * shape_.k_tile, last_key = tile_end * shape_.k_tile;
    for (int64_t tile = 0; tile < shape_.q_tiles; ++tile) {
      const int64_t q0 = tile * shape_.q_tile;
      const int64_t rows = std::min(shape_.q_tile, shape_.tq - q0);
      const Touched touched =
          TouchedRows(ranges.Lo(b) + q0, ranges.Hi(b) + q0, rows, first_key, last_key);
      if (part != 0 && touched.begin == touched.end) continue;
      const int64_t statistics = (b * shape_.q_heads + head) * shape_.tq + q0;
      const float* lse = args_.lse.as<float>() + statistics;
      float* delta = slot.delta + q0;
      for (int64_t r = 0; r < rows; ++r) slot.lse2[q0 + r] = lse[r] * std::numbers::log2e_v<float>;
      RowDots({.out = delta,
               .a = Row(args_.d_o, b, q0, head),
               .b = Row(args_.o, b, q0, head),
               .dtype = shape_.dtype,
               .a_ld = args_.d_o.strides[1],
               .b_ld = args_.o.strides[1],
               .rows = rows,
               .d = shape_.d});
      std::fill(slot.lse2 + q0 + rows, slot.lse2 + q0 + shape_.q_tile, 0.0f);
      std::fill(delta + rows, delta + shape_.q_tile, 0.0f);
      if (part == 0) std::copy_n(delta, rows, args_.delta.as<float>() + statistics);
      if (touched.begin == touched.end) continue;
      const auto pack = [&](const Tensor& x, std::byte* columns, std::byte* whole) {
        CopyRows({.dst = slot.stage,
                  .to = shape_.tile_type,
                  .src = Row(x, b, q0, head),
                  .from = shape_.dtype,
                  .ld = x.strides[1],
                  .rows = rows,
                  .padded_rows = shape_.q_tile,
                  .d = shape_.d});
        Pack(shape_.tile_type, shape_.d, shape_.q_tile, Source::kTransposed, slot.stage, shape_.d,
             columns + static_cast<size_t>(tile) * packed_.query_columns);
        Pack(shape_.tile_type, shape_.q_tile, shape_.d, Source::kRows, slot.stage, shape_.d,
             whole + static_cast<size_t>(tile) * packed_.query_rows);
      };
      pack(args_.q, slot.q_columns, slot.q_rows);
      pack(args_.d_o, slot.do_columns, slot.do_rows);
    }
  }

  void RunTile(BackwardSlot& slot, const MaskRanges& ranges, int64_t b, int64_t k_index,
               int64_t q_index) {
    const int64_t k0 = k_index * shape_.k_tile, q0 = q_index * shape_.q_tile;
    const int32_t* lo = ranges.QLo(b) + k0;
    const int32_t* hi = ranges.QHi(b) + k0;
    const Touched part = TouchedGranules(lo, hi, shape_.k_tile, q0, q0 + shape_.q_tile);
    if (part.begin == part.end) return;
    const DType type = shape_.tile_type;
    const int64_t d = shape_.d, height = part.end - part.begin, width = shape_.q_tile;
    const int64_t first_row = k0 + part.begin;
    const size_t row_offset = static_cast<size_t>(first_row * d) * shape_.tile_element();
    const auto columns = static_cast<size_t>(q_index) * packed_.query_columns;
    const auto whole = static_cast<size_t>(q_index) * packed_.query_rows;
    TileProduct(type, height, d, width, slot.k + row_offset, Right::kPacked,
                slot.q_columns + columns, Write::kOverwrite, slot.s);
    TileProduct(type, height, d, width, slot.v + row_offset, Right::kPacked,
                slot.do_columns + columns, Write::kOverwrite, slot.dp);
    GradTile({.type = type,
              .s = slot.s,
              .dp = slot.dp,
              .rows = height,
              .width = width,
              .first_query = q0,
              .lo = lo + part.begin,
              .hi = hi + part.begin,
              .factor = shape_.scale * std::numbers::log2e_v<float>,
              .lse2 = slot.lse2 + q0,
              .delta = slot.delta + q0});
    TileProduct(type, height, width, d, slot.s, Right::kPacked, slot.do_rows + whole, Write::kAdd,
                slot.dv + first_row * d);
    TileProduct(type, height, width, d, slot.dp, Right::kPacked, slot.q_rows + whole, Write::kAdd,
                slot.dk + first_row * d);
    const bool seen = slot.seen[q_index] != std::byte{0};
    slot.seen[q_index] = std::byte{1};
    const std::byte* k_transposed =
        slot.k_transposed + static_cast<size_t>(k0 * d) * shape_.tile_element();
    if (height < shape_.k_tile) {
      TransposeTile(type, height, d, slot.k + row_offset, slot.part_transposed);
      k_transposed = slot.part_transposed;
    }
    TileProduct(type, d, height, width, k_transposed, Right::kPlain, slot.dp,
                seen ? Write::kAdd : Write::kOverwrite, slot.dq + q0 * d);
  }

  void FinishQueries(BackwardSlot& slot, const Partials& partials, int64_t b, int64_t head,
                     int64_t part, int64_t q_index) {
    const int64_t elements = shape_.q_tile * shape_.d;
    const float* sum = slot.dq + q_index * elements;
    const bool seen = slot.seen[q_index] != std::byte{0};
    if (partials.dq == nullptr) return StoreQueries(slot, b, head, q_index, seen ? sum : nullptr);
    const int64_t tile =
        ((part * shape_.batch + b) * shape_.q_heads + head) * shape_.q_tiles + q_index;
    partials.seen[tile] = slot.seen[q_index];
    if (seen) std::copy_n(sum, elements, partials.dq + tile * elements);
  }

  // sum is dQ^T [d, q_tile] unscaled, or null for zero.
  void StoreQueries(BackwardSlot& slot, int64_t b, int64_t head, int64_t q_index,
                    const float* sum) {
    const int64_t q0 = q_index * shape_.q_tile;
    float* rows = reinterpret_cast<float*>(slot.stage);
    if (sum != nullptr) {
      TransposeTile(DType::kF32, shape_.d, shape_.q_tile, sum, rows);
    } else {
      std::fill_n(rows, shape_.q_tile * shape_.d, 0.0f);
    }
    StoreRows({.dst = Row(args_.dq, b, q0, head),
               .to = shape_.dtype,
               .ld = args_.dq.strides[1],
               .src = rows,
               .rows = std::min(shape_.q_tile, shape_.tq - q0),
               .d = shape_.d,
               .factor = shape_.scale});
  }

  void SumPartials(BackwardSlot& slot, const Partials& partials, int64_t parts, int64_t tile) {
    const int64_t elements = shape_.q_tile * shape_.d;
    const int64_t tiles = shape_.batch * shape_.q_heads * shape_.q_tiles;
    bool seen = false;
    for (int64_t part = 0; part < parts; ++part) {
      const int64_t index = part * tiles + tile;
      if (partials.seen[index] == std::byte{0}) continue;
      const float* share = partials.dq + index * elements;
      for (int64_t i = 0; i < elements; ++i) slot.dq[i] = (seen ? slot.dq[i] : 0.0f) + share[i];
      seen = true;
    }
    const int64_t head = tile / shape_.q_tiles;
    StoreQueries(slot, head / shape_.q_heads, head % shape_.q_heads, tile % shape_.q_tiles,
                 seen ? slot.dq : nullptr);
  }

  const AttentionBackwardArgs& args_;
  const AttentionShape& shape_;
  const PackedSizes packed_;
};

}  // namespace

void AttentionBackward(Stream& stream, const AttentionBackwardArgs& args) {
  const AttentionShape shape =
      ShapeOf(args.q, args.k, args.scale, kBackwardQueryTile, kBackwardKeyTile);
  if (shape.batch == 0 || shape.q_heads == 0) return;
  Backward(args, shape).Run(stream);
}

}  // namespace tl::cpu
