// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/load.h"

#include <algorithm>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/logging.h"
#include "base/status.h"
#include "checkpoint/folder.h"
#include "checkpoint/health.h"
#include "checkpoint/inputs.h"
#include "checkpoint/local_pieces.h"
#include "checkpoint/safetensors.h"

namespace tl {
namespace {

// Rank 0's list on all ranks: a shared folder may be seen late by some.
absl::StatusOr<std::vector<std::string>> Candidates(const std::string& where, Communicator& world) {
  std::string list;
  absl::Status status;
  if (world.rank() == 0) {
    const auto found = FindCheckpoints(where);
    status = found.status();
    if (found.ok()) {
      list = absl::StrJoin(HealthyFirst(*found), "\n");
      if (const std::string notice = HealthNotice(*found); !notice.empty()) LogWarning(notice);
    }
  }
  TL_RETURN_IF_ERROR(AgreeOnStatus(world, status));
  auto size = static_cast<int64_t>(list.size());
  Stream stream = Stream::Cpu();
  world.Broadcast(stream, Tensor::Of(&size, {1}), 0);
  list.resize(static_cast<size_t>(size));
  world.Broadcast(stream, Tensor::Of(reinterpret_cast<uint8_t*>(list.data()), {size}), 0);
  return std::vector<std::string>(absl::StrSplit(list, '\n'));
}

// A box with rows that are `columns` apart, from one whose rows lie close.
void Spread(const PartShard& shard, const std::vector<float>& box, float* out) {
  const int64_t rows = shard.part->split_axis == 1 ? shard.local[0] : 1;
  const auto width = static_cast<int64_t>(box.size()) / rows;
  const int64_t stride = shard.part->split_axis == 1 ? shard.local[1] : width;
  for (int64_t r = 0; r < rows; ++r) std::copy_n(box.data() + r * width, width, out + r * stride);
}

// The name under which the values of a part are found: its own, or that of what it is a copy of;
// empty: nowhere, and it may be so.
template <typename Has>
std::string Source(const ParamSpec& spec, const ParamPart& part, MissingWeights missing,
                   const Has& has) {
  if (missing == MissingWeights::kError || !spec.optional || has(part.name)) return part.name;
  return part.copy_of;
}

absl::Status ReadSafetensors(const std::string& path, const ParamTable& table, const SetParam& set,
                             MissingWeights missing) {
  TL_ASSIGN_OR_RETURN(const auto reader, SafetensorsReader::Open(path));
  std::vector<float> values, whole;
  for (ParamId id = 0; id < table.size(); ++id) {
    values.assign(static_cast<size_t>(table[id].local.elements()), 0.0f);
    bool found = true;
    for (const PartShard& shard : table[id].shards) {
      const std::string name =
          Source(table[id].spec, *shard.part, missing, [&](const std::string& wanted) {
            const auto& tensors = reader->tensors();
            return std::any_of(tensors.begin(), tensors.end(),
                               [&](const TensorInfo& t) { return t.name == wanted; });
          });
      found &= !name.empty();
      if (name.empty()) continue;
      TL_ASSIGN_OR_RETURN(const TensorInfo* tensor, reader->Find(name, Dims(shard.part->shape)));
      whole.resize(static_cast<size_t>(shard.part->shape.elements()));
      TL_RETURN_IF_ERROR(
          reader->Read(*tensor, 0, static_cast<int64_t>(whole.size()), whole.data()));
      const int64_t columns = shard.local.rank() == 2 ? shard.local[1] : 1;
      for (int64_t i = 0; i < shard.local.elements(); ++i) {
        const int64_t global = GlobalIndex(shard, i / columns, i % columns);
        if (global >= 0) values[static_cast<size_t>(shard.offset + i)] = whole[global];
      }
    }
    if (found) set(id, values.data());
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> LoadNewest(const std::string& where, Communicator& world,
                                       const std::function<absl::Status(CheckpointReader&)>& load) {
  TL_ASSIGN_OR_RETURN(const std::vector<std::string> paths, Candidates(where, world));
  std::vector<std::string> reasons;
  for (const std::string& path : paths) {
    auto reader = CheckpointReader::Open(path);
    absl::Status status = AgreeOnStatus(world, reader.status());
    if (status.ok()) status = AgreeOnManifest(world, path);
    if (status.ok()) status = AgreeOnStatus(world, load(**reader));
    if (status.ok()) return path;
    if (status.code() == absl::StatusCode::kFailedPrecondition) return status;
    reasons.push_back(std::string(status.message()));
    if (world.rank() == 0 && path != paths.back())
      LogWarning(absl::StrCat(path, " is passed over: ", status.message()));
  }
  if (reasons.size() == 1) return absl::DataLossError(reasons[0]);
  return absl::DataLossError(absl::StrCat(where, ": none of ", reasons.size(),
                                          " checkpoints is good: ", absl::StrJoin(reasons, "; ")));
}

absl::Status NoAverage(const std::string& path) {
  return absl::FailedPreconditionError(
      path + ": holds no average of weights, which a training keeps with [optimizer] ema above 0");
}

absl::StatusOr<bool> ReadsAverage(const CheckpointReader& reader, WhichWeights which) {
  if (which == WhichWeights::kTrained) return false;
  const bool kept = reader.manifest().HasRole(kAverageRole);
  if (!kept && which == WhichWeights::kAveraged) return NoAverage(reader.path());
  return kept;
}

absl::Status ReadWeights(CheckpointReader& reader, const ParamTable& table, const SetParam& set,
                         MissingWeights missing, WhichWeights which) {
  TL_ASSIGN_OR_RETURN(const bool average, ReadsAverage(reader, which));
  std::vector<float> values, box_values;
  for (ParamId id = 0; id < table.size(); ++id) {
    values.assign(static_cast<size_t>(table[id].local.elements()), 0.0f);
    bool found = true;
    for (const PartShard& shard : table[id].shards) {
      const std::string name =
          Source(table[id].spec, *shard.part, missing, [&](const std::string& wanted) {
            const auto& tensors = reader.manifest().tensors;
            return std::any_of(tensors.begin(), tensors.end(), [&](const TensorRecord& t) {
              return t.name == wanted && t.is_weight();
            });
          });
      found &= !name.empty();
      if (name.empty()) continue;
      const bool averaged = average && reader.manifest().Find(name, kAverageRole) >= 0;
      TL_ASSIGN_OR_RETURN(const int tensor, reader.Find(name, averaged ? kAverageRole : kWeightRole,
                                                        shard.part->shape));
      const Box box = BoxOf(shard);
      if (box.elements() == 0) continue;
      float* out = values.data() + shard.offset;
      const bool padded = shard.part->split_axis == 1 && shard.valid != shard.local[1];
      if (padded) box_values.resize(static_cast<size_t>(box.elements()));
      TL_RETURN_IF_ERROR(
          reader.ReadFloats(tensor, box, 0, box.elements(), padded ? box_values.data() : out));
      if (padded) Spread(shard, box_values, out);
    }
    if (found) set(id, values.data());
  }
  return absl::OkStatus();
}

absl::Status CheckNoOtherWeights(const CheckpointReader& reader, const ParamTable& table) {
  std::set<std::string> names;
  for (const TensorRecord& tensor : TensorsOf(table, {})) names.insert(tensor.name);
  for (const TensorRecord& tensor : reader.manifest().tensors) {
    if (tensor.is_weight() && !names.contains(tensor.name))
      return absl::FailedPreconditionError(
          absl::StrCat(reader.path(), ": tensor \"", tensor.name,
                       "\" is none of the model's: [model] or [objective] is another than that "
                       "of the training that saved; to start from its weights set [run] "
                       "init_from, and another [run] dir"));
  }
  return absl::OkStatus();
}

absl::Status ReadOptimizer(CheckpointReader& reader, const ParamTable& table, ShardedState& state) {
  const std::vector<TensorRecord> tensors = TensorsOf(table, state.bucket_roles());
  const bool has_average = reader.manifest().HasRole(kAverageRole);
  Stream stream = Stream::On(state.device());
  std::vector<float> values;
  for (const LocalPiece& piece : PiecesOf(table, state, 0, Copies::kAll)) {
    const TensorRecord& record = tensors[piece.tensor];
    if (record.role == kAverageRole && !has_average) continue;
    TL_ASSIGN_OR_RETURN(const int tensor, reader.Find(record.name, record.role, record.shape));
    values.resize(static_cast<size_t>(piece.end - piece.begin));
    TL_RETURN_IF_ERROR(reader.ReadFloats(tensor, piece.box, piece.begin, piece.end, values.data()));
    const auto* from = reinterpret_cast<const std::byte*>(values.data());
    for (const MemoryRun& run : piece.runs) {
      CopyBytes(stream, run.data, from, static_cast<size_t>(run.bytes));
      from += run.bytes;
    }
  }
  stream.Synchronize();
  return absl::OkStatus();
}

std::string ImportedWeights(const std::string& folder) {
  std::error_code error;
  const std::string file = folder + "/weights.safetensors";
  const bool there = std::filesystem::is_regular_file(file, error);
  return there && !FindCheckpoints(folder).ok() ? file : "";
}

absl::StatusOr<WhichWeights> LoadWeights(const std::string& where, Communicator& world,
                                         const ParamTable& table, const SetParam& set,
                                         WhichWeights which, MissingWeights missing) {
  std::error_code error;
  std::string path = where;
  int file = std::filesystem::is_regular_file(where, error);
  if (const std::string imported = ImportedWeights(where); !imported.empty()) {
    file = 1;
    path = imported;
  }
  Stream stream = Stream::Cpu();
  world.Broadcast(stream, Tensor::Of(&file, {1}), 0);
  if (file != 0) {
    TL_RETURN_IF_ERROR(AgreeOnStatus(world, which == WhichWeights::kAveraged
                                                ? NoAverage(path)
                                                : ReadSafetensors(path, table, set, missing)));
    return WhichWeights::kTrained;
  }
  bool averaged = false;
  const auto path_taken = LoadNewest(where, world, [&](CheckpointReader& reader) -> absl::Status {
    TL_ASSIGN_OR_RETURN(averaged, ReadsAverage(reader, which));
    return ReadWeights(reader, table, set, missing, which);
  });
  TL_RETURN_IF_ERROR(path_taken.status());
  return averaged ? WhichWeights::kAveraged : WhichWeights::kTrained;
}

}  // namespace tl
