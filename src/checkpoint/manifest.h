// SPDX-License-Identifier: Apache-2.0
// manifest.json, which makes a folder of shards a checkpoint: what was saved, by whom, and for
// every stored piece its place and checksums. docs/reference/checkpoint-format.md specifies the
// format.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "checkpoint/run_state.h"
#include "data/file_identity.h"
#include "device/tensor.h"

namespace tl {

// Written. Version 1 is read too: it numbers the states of AdamW, m and v, as state0 and state1.
inline constexpr int kManifestVersion = 2;
inline constexpr char kManifestName[] = "manifest.json";
// Neither written nor read beyond it. A tensor on a rank takes some 130 bytes.
inline constexpr int64_t kMaxManifestBytes = 512 << 20;
// A piece has one checksum for every so many bytes; what this program writes.
inline constexpr int64_t kBlockBytes = 4 << 20;

// Lists the sizes of a shape, as files hold them.
std::vector<int64_t> Dims(const Shape& shape);

// A part of a tensor: [begin, begin + size) along each axis.
struct Box {
  Shape begin, size;
  int64_t elements() const { return size.elements(); }
  bool operator==(const Box&) const = default;
  static Box Whole(const Shape& shape);
};

// The role of weights. Others are those of an optimizer's states, see Optimizer::Roles.
inline constexpr char kWeightRole[] = "weight";

struct TensorRecord {
  std::string name;  // global
  std::string role = kWeightRole;
  DType dtype = DType::kF32;
  Shape shape;
  int split_axis = -1;  // of the grid that saved it; -1: none

  bool is_weight() const { return role == kWeightRole; }
};
// Tells where a shard and model.h5 have it: "/weight/NAME".
std::string DatasetName(const TensorRecord& tensor);

// Elements [begin, end) of a box of a tensor, in row-major order within the box.
struct Piece {
  int tensor = 0;
  Box box;
  int64_t begin = 0;
  int64_t end = 0;
  int64_t offset = 0;  // bytes from the start of the file
  std::vector<uint32_t> crcs;
  int64_t elements() const { return end - begin; }
};

struct FileRecord {
  std::string name;
  int64_t bytes = 0;
  uint32_t rest_crc = 0;  // of the bytes that are in no piece, in order
  std::vector<Piece> pieces;
};

struct Manifest {
  RunState run;
  int data_size = 1;
  int tensor_size = 1;
  int64_t block_bytes = kBlockBytes;
  // Who saved: program version, machine, libraries, threads, precision; to tell where bits may
  // differ.
  std::map<std::string, std::string> provenance;
  std::string config;  // TOML
  // What the training read: data files, and what its weights started from.
  std::vector<FileIdentity> data;
  uint64_t tokenizer_hash = 0;  // of the tokens that the model knows; 0: not told
  std::vector<TensorRecord> tensors;
  std::vector<FileRecord> files;

  // -1: none.
  int Find(const std::string& name, const std::string& role) const;
  // Tells whether any tensor has this role.
  bool HasRole(const std::string& role) const;
  int64_t bytes() const;  // of the files
  int64_t piece_bytes(const Piece& piece) const;
};

std::string WriteManifest(const Manifest& manifest);
// RunState::unhealthy_since from the first kManifestHeadBytes of what WriteManifest wrote.
inline constexpr int64_t kManifestHeadBytes = 2048;
int64_t UnhealthySinceOf(const std::string& head);
// Text that can come from anywhere: sizes, ranges, names and depth are checked, nothing is
// allocated beyond a multiple of the text, and every element of every tensor is stored exactly
// once. Errors begin with `path`.
absl::StatusOr<Manifest> ParseManifest(const std::string& text, const std::string& path);

// Writes one file's part of a manifest, to go from rank to rank. manifest: of the tensors.
std::string WriteFileRecord(const FileRecord& file);
absl::StatusOr<FileRecord> ParseFileRecord(const std::string& text, const Manifest& manifest,
                                           const std::string& path);

// Checks that the pieces hold every element of every tensor exactly once. Boxes of one tensor must
// be equal or disjoint.
absl::Status CheckCoverage(const Manifest& manifest);

}  // namespace tl
