// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/local_pieces.h"

#include <algorithm>

namespace tl {
namespace {

constexpr int64_t kF32 = sizeof(float);

// Elements of a shard's local storage that are no padding: the first `valid` of every `width`.
struct Lines {
  int64_t width = 1;
  int64_t valid = 1;
  int64_t rows = 1;

  explicit Lines(const PartShard& shard) {
    const int64_t columns = shard.local.rank() == 2 ? shard.local[1] : 1;
    const bool split_columns = shard.part->split_axis == 1;
    // Whole rows need no lines of their own.
    width = split_columns ? columns : shard.local.elements();
    valid = split_columns ? shard.valid : shard.valid * columns;
    rows = split_columns ? shard.local[0] : 1;
  }
  // How many of them stand before local element i: their number within the box.
  int64_t Before(int64_t i) const { return i / width * valid + std::min(i % width, valid); }
};

std::vector<MemoryRun> RunsOf(const Lines& lines, int64_t begin, int64_t end, std::byte* base,
                              int64_t first) {
  std::vector<MemoryRun> runs;
  for (int64_t row = begin / lines.width; row * lines.width < end; ++row) {
    const int64_t from = std::max(begin, row * lines.width);
    const int64_t to = std::min(end, row * lines.width + lines.valid);
    if (from >= to) continue;
    std::byte* data = base + (from - first) * kF32;
    if (!runs.empty() && runs.back().data + runs.back().bytes == data)
      runs.back().bytes += (to - from) * kF32;
    else
      runs.push_back({data, (to - from) * kF32});
  }
  return runs;
}

}  // namespace

std::vector<TensorRecord> TensorsOf(const ParamTable& table, const BucketRoles& roles) {
  std::vector<TensorRecord> tensors;
  const auto add = [&](const Param& param, const std::string& role) {
    for (const ParamPart& part : param.spec.parts)
      tensors.push_back({.name = part.name,
                         .role = role,
                         .dtype = DType::kF32,
                         .shape = part.shape,
                         .split_axis = part.split_axis});
  };
  for (ParamId id = 0; id < table.size(); ++id) add(table[id], kWeightRole);
  for (const std::string& role : AllRoles(roles)) {
    for (ParamId id = 0; id < table.size(); ++id) {
      const std::vector<std::string>& has = roles[table[id].bucket];
      if (std::find(has.begin(), has.end(), role) != has.end()) add(table[id], role);
    }
  }
  return tensors;
}

Box BoxOf(const PartShard& shard) {
  Box box = Box::Whole(shard.part->shape);
  const int axis = shard.part->split_axis;
  if (axis >= 0) box.begin[axis] = shard.begin;
  box.size[std::max(axis, 0)] = shard.valid;
  return box;
}

std::vector<LocalPiece> PiecesOf(const ParamTable& table, const ShardedState& state,
                                 int first_state, Copies copies) {
  std::vector<LocalPiece> pieces;
  int tensor = 0;
  for (ParamId id = 0; first_state == 0 && id < table.size(); ++id)
    tensor += static_cast<int>(table[id].shards.size());
  for (int s = first_state; s < state.states(); ++s) {
    for (ParamId id = 0; id < table.size(); ++id) {
      if (s >= 0 && !state.Has(s, table[id].bucket)) continue;
      for (const PartShard& shard : table[id].shards) {
        const int index = tensor++;
        if (shard.valid == 0 || (copies == Copies::kOne && !shard.counted)) continue;
        const Lines lines(shard);
        const int64_t start = table[id].offset + shard.offset;
        const int64_t size = shard.local.elements();
        // A shard lies in one bucket, so this rank has one range of it.
        for (int64_t i = 0, run = 0; i < size; i += run) {
          const int64_t at = state.ShardOffset(start + i, &run);
          run = std::min(run, size - i);
          if (at < 0) continue;
          const int64_t begin = lines.Before(i), end = lines.Before(i + run);
          if (begin == end) continue;
          const Tensor memory = s < 0 ? state.Master(start + i, at, run) : state.State(s, at, run);
          pieces.push_back({.tensor = index,
                            .box = BoxOf(shard),
                            .begin = begin,
                            .end = end,
                            .runs = RunsOf(lines, i, i + run, memory.data, i)});
        }
      }
    }
  }
  return pieces;
}

}  // namespace tl
