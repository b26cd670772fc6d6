// SPDX-License-Identifier: Apache-2.0
#include "convert/shards.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/json.h"
#include "base/progress_bar.h"
#include "base/status.h"
#include "checkpoint/safetensors.h"

namespace tl {
namespace {

using Shard = std::vector<TensorPlacement*>;

std::vector<Shard> Divide(std::vector<TensorPlacement>& placements, int64_t shard_bytes) {
  std::vector<Shard> shards(1);
  int64_t bytes = 0;
  for (TensorPlacement& placement : placements) {
    if (placement.left_out()) continue;
    if (!shards.back().empty() && bytes + placement.bytes() > shard_bytes) {
      shards.emplace_back();
      bytes = 0;
    }
    shards.back().push_back(&placement);
    bytes += placement.bytes();
  }
  return shards;
}

absl::Status WriteShard(const WeightSource& source, const OutputFolder& out,
                        const std::string& file, const Shard& shard, ProgressBar& bar) {
  bar.SetOf(file);
  std::vector<TensorInfo> infos;
  for (TensorPlacement* placement : shard) {
    placement->file = file;
    infos.push_back(
        {.name = placement->target, .dtype = placement->dtype, .shape = placement->shape});
  }
  // transformers refuses files that do not say this.
  TL_ASSIGN_OR_RETURN(
      auto writer, SafetensorsWriter::Create(out.At(file), std::move(infos), {{"format", "pt"}}));
  for (const TensorPlacement* placement : shard) {
    TL_RETURN_IF_ERROR(CopyTensor(source, *placement, [&](const void* data, int64_t bytes) {
      bar.Add(bytes);
      return writer->Append(data, bytes);
    }));
  }
  return writer->Finish();
}

}  // namespace

absl::Status WriteShards(const WeightSource& source, const OutputFolder& out,
                         const std::string& stem, int64_t shard_bytes,
                         std::vector<TensorPlacement>& placements) {
  const std::vector<Shard> shards = Divide(placements, shard_bytes);
  ProgressBar bar("write", BytesOf(placements), ProgressUnit::kBytes);
  if (shards.size() == 1) return WriteShard(source, out, stem + ".safetensors", shards[0], bar);
  int64_t total = 0;
  nlohmann::json map = nlohmann::json::object();
  for (size_t i = 0; i < shards.size(); ++i) {
    const std::string file =
        absl::StrFormat("%s-%05d-of-%05d.safetensors", stem, i + 1, shards.size());
    TL_RETURN_IF_ERROR(WriteShard(source, out, file, shards[i], bar));
    for (const TensorPlacement* placement : shards[i]) {
      map[placement->target] = file;
      total += placement->bytes();
    }
  }
  const nlohmann::json index = {{"metadata", {{"total_size", total}}}, {"weight_map", map}};
  return out.WriteText(absl::StrCat(stem, ".safetensors.index.json"), index.dump(2) + "\n");
}

}  // namespace tl
