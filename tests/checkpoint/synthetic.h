// SPDX-License-Identifier: Apache-2.0
// Checkpoints of made-up tensors on any grid, without a model: what every element is follows from
// its tensor, its place and the step.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "base/files.h"
#include "checkpoint/folder.h"
#include "checkpoint/reader.h"
#include "checkpoint/shard_file.h"

namespace tl {

inline std::vector<TensorRecord> SyntheticTensors() {
  std::vector<TensorRecord> tensors;
  for (const char* role : {kWeightRole, "m"}) {
    tensors.push_back({"rows.weight", role, DType::kF32, {7, 5}, 0});
    tensors.push_back({"columns.weight", role, DType::kF32, {6, 9}, 1});
    tensors.push_back({"norm.weight", role, DType::kF32, {11}, -1});
    tensors.push_back({"big.weight", role, DType::kF32, {40, 33}, 0});
  }
  tensors.push_back({"narrow.weight", kWeightRole, DType::kBF16, {4, 6}, 1});
  return tensors;
}

// Small integers, which every type holds.
inline float SyntheticValue(int tensor, int64_t i, int64_t step) {
  return static_cast<float>((tensor * 31 + i * 7 + step * 3) % 251 - 125);
}

// The part of a tensor that a rank of a data x tensor grid stores; sizes differ from rank to rank.
inline ShardPiece SyntheticPiece(const std::vector<TensorRecord>& tensors, int index, int data,
                                 int tensor, int rank, int64_t step) {
  const TensorRecord& record = tensors[index];
  const int d = rank / tensor, t = rank % tensor;
  ShardPiece piece;
  piece.tensor = index;
  piece.box = Box::Whole(record.shape);
  if (const int axis = record.split_axis; axis >= 0) {
    const int64_t whole = record.shape[axis], size = (whole + tensor - 1) / tensor;
    piece.box.begin[axis] = std::min<int64_t>(t * size, whole);
    piece.box.size[axis] = std::min(size, whole - piece.box.begin[axis]);
  } else if (t > 0) {
    return piece;
  }
  const int64_t elements = piece.box.elements();
  piece.begin = elements * d * d / (data * data);
  piece.end = elements * (d + 1) * (d + 1) / (data * data);
  const Box box = piece.box;
  const int64_t begin = piece.begin;
  piece.fill = [=](int64_t first, int64_t count, std::byte* out) {
    for (int64_t k = 0; k < count; ++k) {
      int64_t at = begin + first + k, global = at;
      if (box.size.rank() == 2)
        global =
            (box.begin[0] + at / box.size[1]) * record.shape[1] + box.begin[1] + at % box.size[1];
      else
        global += box.begin[0];
      const float value = SyntheticValue(index, global, step);
      if (record.dtype == DType::kF32) {
        std::memcpy(out + k * 4, &value, 4);
      } else {
        const BF16 narrow = FromFloat<BF16>(value);
        std::memcpy(out + k * 2, &narrow, 2);
      }
    }
    return absl::OkStatus();
  };
  return piece;
}

// folder/step_N; blocks are small so that pieces have several.
inline std::string MakeCheckpoint(const std::string& folder, int64_t step, int data, int tensor,
                                  int64_t unhealthy_since = 0) {
  Manifest manifest;
  manifest.run.step = step;
  manifest.run.samples = 8 * step;
  manifest.run.unhealthy_since = unhealthy_since;
  manifest.data_size = data;
  manifest.tensor_size = tensor;
  manifest.block_bytes = 256;
  manifest.provenance = {{"program", "a test"}};
  manifest.config = "[model]\nlayers = 1\n";
  manifest.tensors = SyntheticTensors();
  const std::string temporary = folder + "/" + TemporaryName(step, "test");
  std::filesystem::create_directories(temporary);
  for (int rank = 0; rank < data * tensor; ++rank) {
    std::vector<ShardPiece> pieces;
    for (size_t i = 0; i < manifest.tensors.size(); ++i) {
      ShardPiece piece =
          SyntheticPiece(manifest.tensors, static_cast<int>(i), data, tensor, rank, step);
      if (piece.begin < piece.end) pieces.push_back(std::move(piece));
    }
    auto file = WriteShard(temporary, "shard_000" + std::to_string(rank) + ".h5", manifest.tensors,
                           pieces, manifest.block_bytes);
    TL_CHECK(file.ok()) << file.status().ToString();
    manifest.files.push_back(std::move(file).value());
  }
  TL_CHECK_OK(FinishCheckpoint(temporary, &manifest));
  TL_CHECK_OK(CommitCheckpoint(folder, temporary, step));
  return folder + "/" + CheckpointName(step);
}

// OK where every element is what it was.
inline absl::Status CheckSynthetic(CheckpointReader& reader) {
  const std::vector<TensorRecord> tensors = SyntheticTensors();
  std::vector<float> values;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const auto found = reader.Find(tensors[i].name, tensors[i].role, tensors[i].shape);
    if (!found.ok()) return found.status();
    values.assign(static_cast<size_t>(tensors[i].shape.elements()), 1e9f);
    const absl::Status status = reader.ReadFloats(*found, Box::Whole(tensors[i].shape), 0,
                                                  tensors[i].shape.elements(), values.data());
    if (!status.ok()) return status;
    for (size_t k = 0; k < values.size(); ++k) {
      if (values[k] !=
          SyntheticValue(static_cast<int>(i), static_cast<int64_t>(k), reader.manifest().run.step))
        return absl::InternalError("silently wrong: " + tensors[i].name);
    }
  }
  return absl::OkStatus();
}

}  // namespace tl
