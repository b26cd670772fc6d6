// SPDX-License-Identifier: Apache-2.0
// Writes one file of a checkpoint. HDF5 lays it out in memory: contiguous datasets, allocated
// early. What the library wrote is copied and the tensors' data are put at the datasets' offsets
// with fallocate and pwrite, each result checked; checksums are computed on the way.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "checkpoint/manifest.h"

namespace tl {

// A piece to be stored and where its elements come from. Elements [first, first + count) of the
// piece, as they are stored: either a pointer into `data` where that is set, or what `fill` copies.
struct ShardPiece {
  int tensor = 0;
  Box box;
  int64_t begin = 0;
  int64_t end = 0;
  const std::byte* data = nullptr;
  std::function<absl::Status(int64_t first, int64_t count, std::byte* out)> fill;
};

// Writes and syncs FOLDER/name; a file that is there is an error. The pieces are in any order, at
// most one of a tensor. The record is what the manifest says of the file. *written counts bytes on
// the way. Memory: one block.
absl::StatusOr<FileRecord> WriteShard(const std::string& folder, const std::string& name,
                                      const std::vector<TensorRecord>& tensors,
                                      const std::vector<ShardPiece>& pieces,
                                      int64_t block_bytes = kBlockBytes,
                                      std::atomic<int64_t>* written = nullptr);

// Writes and syncs FOLDER/model.h5: every weight whole, under its name, as a virtual dataset over
// the shards of the manifest, which any HDF5 reader (1.10 or newer) opens.
absl::StatusOr<FileRecord> WriteModelFile(const std::string& folder, const Manifest& manifest);
inline constexpr char kModelFileName[] = "model.h5";

// Makes a folder of shards a checkpoint: checks that the shards are there and hold every element
// once, adds model.h5 to them, and writes and syncs the manifest.
absl::Status FinishCheckpoint(const std::string& folder, Manifest* manifest);

}  // namespace tl
