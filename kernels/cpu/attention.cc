// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention.h"

#include <omp.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <numbers>

#include "kernels/cpu/attention_plan.h"
#include "kernels/cpu/attention_simd.h"
#include "kernels/cpu/onednn.h"

namespace tl::cpu {
namespace {

constexpr int64_t kQueryTile = 256;
constexpr int64_t kKeyTile = 128;
// bf16 products are so fast that the softmax's cost per row and tile counts; long rows pay for the
// keys that wide tiles compute beyond a causal mask's edge.
constexpr int64_t kWideKeyTile = 256;
constexpr int64_t kWideFrom = 768;

// One thread's working memory.
struct ForwardSlot {
  std::byte *keys, *values;  // packed tiles of one key head
  std::byte* packed;         // [k_tiles] whether a tile has been packed
  std::byte *stage, *q;
  float *s, *o, *row_shift, *row_sum, *factors;

  ForwardSlot(Carver& carver, const AttentionShape& shape, size_t key_bytes, size_t value_bytes) {
    const int64_t element = static_cast<int64_t>(shape.tile_element());
    keys = carver.Take(shape.k_tiles * static_cast<int64_t>(key_bytes));
    values = carver.Take(shape.k_tiles * static_cast<int64_t>(value_bytes));
    packed = carver.Take(shape.k_tiles);
    stage = carver.Take(shape.k_tile * shape.d * element);
    q = carver.Take(shape.q_tile * shape.d * element);
    s = carver.Take<float>(shape.q_tile * shape.k_tile);
    o = carver.Take<float>(shape.q_tile * shape.d);
    row_shift = carver.Take<float>(shape.q_tile);
    row_sum = carver.Take<float>(shape.q_tile);
    factors = carver.Take<float>(shape.q_tile);
  }
};

class Forward {
 public:
  Forward(const AttentionArgs& args, const AttentionShape& shape)
      : args_(args),
        shape_(shape),
        key_bytes_(PackedBytes(shape.tile_type, shape.d, shape.k_tile)),
        value_bytes_(PackedBytes(shape.tile_type, shape.k_tile, shape.d)) {}

  void Run(Stream& stream) {
    const int threads = omp_get_max_threads();
    const bool segments = static_cast<bool>(args_.mask.q_segments);
    Carver measure(nullptr);
    MaskRanges(measure, shape_, segments, false);
    const size_t shared_bytes = measure.used();
    Carver slot_measure(nullptr);
    ForwardSlot(slot_measure, shape_, key_bytes_, value_bytes_);
    const size_t slot_bytes = slot_measure.used();
    std::byte* scratch = stream.Scratch(shared_bytes + slot_bytes * static_cast<size_t>(threads));
    Carver carver(scratch);
    MaskRanges ranges(carver, shape_, segments, false);
    ranges.Fill(shape_, args_.mask);

    const int64_t heads = shape_.batch * shape_.k_heads;
    const int64_t items = shape_.q_tiles * shape_.group;
    const int64_t parts = PartsPerTask(heads, threads, items);
#pragma omp parallel
    {
      const OneThreadScope one_thread;
      Carver own(scratch + shared_bytes + slot_bytes * static_cast<size_t>(omp_get_thread_num()));
      ForwardSlot slot(own, shape_, key_bytes_, value_bytes_);
#pragma omp for schedule(dynamic, 1)
      for (int64_t task = 0; task < heads * parts; ++task) {
        // Under a causal mask the last queries have the most keys: long tasks go first.
        const int64_t part = parts - 1 - task / heads;
        RunHead(slot, ranges, task % heads / shape_.k_heads, task % heads % shape_.k_heads,
                items * part / parts, items * (part + 1) / parts);
      }
    }
  }

 private:
  // Items are query tiles, each for all heads of the group.
  void RunHead(ForwardSlot& slot, const MaskRanges& ranges, int64_t b, int64_t k_head,
               int64_t begin, int64_t end) {
    std::memset(slot.packed, 0, static_cast<size_t>(shape_.k_tiles));
    for (int64_t item = begin; item < end; ++item) {
      const int64_t head = k_head * shape_.group + item % shape_.group;
      RunTile(slot, ranges, b, head, k_head, item / shape_.group * shape_.q_tile);
    }
  }

  void RunTile(ForwardSlot& slot, const MaskRanges& ranges, int64_t b, int64_t head, int64_t k_head,
               int64_t q0) {
    const int32_t* lo = ranges.Lo(b) + q0;
    const int32_t* hi = ranges.Hi(b) + q0;
    const int64_t rows = std::min(shape_.q_tile, shape_.tq - q0);
    const int64_t d = shape_.d;
    CopyRows({.dst = slot.q,
              .to = shape_.tile_type,
              .src = Row(args_.q, b, q0, head),
              .from = shape_.dtype,
              .ld = args_.q.strides[1],
              .rows = rows,
              .padded_rows = shape_.q_tile,
              .d = d});
    std::fill_n(slot.o, shape_.q_tile * d, 0.0f);
    std::fill_n(slot.row_shift, shape_.q_tile, -std::numeric_limits<float>::infinity());
    std::fill_n(slot.row_sum, shape_.q_tile, 0.0f);
    for (int64_t tile = 0; tile < shape_.k_tiles; ++tile) {
      const int64_t k0 = tile * shape_.k_tile;
      const Touched part = TouchedGranules(lo, hi, shape_.q_tile, k0, k0 + shape_.k_tile);
      if (part.begin == part.end) continue;
      PackTile(slot, ranges, b, k_head, tile);
      const int64_t height = part.end - part.begin;
      const auto offset = static_cast<size_t>(part.begin * d);
      TileProduct(shape_.tile_type, height, d, shape_.k_tile,
                  slot.q + offset * shape_.tile_element(), Right::kPacked,
                  slot.keys + static_cast<size_t>(tile) * key_bytes_, Write::kOverwrite, slot.s);
      SoftmaxTile({.type = shape_.tile_type,
                   .s = slot.s,
                   .rows = height,
                   .width = shape_.k_tile,
                   .first_key = k0,
                   .lo = lo + part.begin,
                   .hi = hi + part.begin,
                   .factor = shape_.scale * std::numbers::log2e_v<float>,
                   .row_shift = slot.row_shift + part.begin,
                   .row_sum = slot.row_sum + part.begin,
                   .o = slot.o + offset,
                   .d = d});
      TileProduct(shape_.tile_type, height, shape_.k_tile, d, slot.s, Right::kPacked,
                  slot.values + static_cast<size_t>(tile) * value_bytes_, Write::kAdd,
                  slot.o + offset);
    }
    float* lse = args_.lse.as<float>() + (b * shape_.q_heads + head) * shape_.tq + q0;
    for (int64_t r = 0; r < rows; ++r) {
      const bool masked = lo[r] >= hi[r];
      lse[r] = masked ? -std::numeric_limits<float>::infinity()
                      : slot.row_shift[r] * std::numbers::ln2_v<float> + std::log(slot.row_sum[r]);
      slot.factors[r] = masked ? 0.0f : 1.0f / slot.row_sum[r];
    }
    StoreRows({.dst = Row(args_.o, b, q0, head),
               .to = shape_.dtype,
               .ld = args_.o.strides[1],
               .src = slot.o,
               .rows = rows,
               .d = d,
               .factors = slot.factors});
  }

  void PackTile(ForwardSlot& slot, const MaskRanges& ranges, int64_t b, int64_t k_head,
                int64_t tile) {
    if (slot.packed[tile] != std::byte{0}) return;
    slot.packed[tile] = std::byte{1};
    const int64_t k0 = tile * shape_.k_tile;
    const Touched seen = SeenKeys(ranges, shape_, b, k0);
    const auto pack = [&](const Tensor& x, Source source, int64_t k, int64_t n, std::byte* dst) {
      CopyRows({.dst = slot.stage,
                .to = shape_.tile_type,
                .src = Row(x, b, k0, k_head),
                .from = shape_.dtype,
                .ld = x.strides[1],
                .rows = seen.end,
                .padded_rows = shape_.k_tile,
                .d = shape_.d});
      std::memset(slot.stage, 0,
                  static_cast<size_t>(seen.begin * shape_.d) * shape_.tile_element());
      Pack(shape_.tile_type, k, n, source, slot.stage, shape_.d, dst);
    };
    pack(args_.k, Source::kTransposed, shape_.d, shape_.k_tile,
         slot.keys + static_cast<size_t>(tile) * key_bytes_);
    pack(args_.v, Source::kRows, shape_.k_tile, shape_.d,
         slot.values + static_cast<size_t>(tile) * value_bytes_);
  }

  const AttentionArgs& args_;
  const AttentionShape& shape_;
  const size_t key_bytes_, value_bytes_;
};

}  // namespace

void Attention(Stream& stream, const AttentionArgs& args) {
  const bool wide = ProductType(args.q.dtype) == DType::kBF16 && args.k.shape[1] >= kWideFrom;
  const AttentionShape shape =
      ShapeOf(args.q, args.k, args.scale, kQueryTile, wide ? kWideKeyTile : kKeyTile);
  if (shape.batch == 0 || shape.tq == 0 || shape.q_heads == 0) return;
  Forward(args, shape).Run(stream);
}

}  // namespace tl::cpu
