// SPDX-License-Identifier: Apache-2.0
// Reads checkpoints by the manifest alone: HDF5 is not parsed. Every byte that is returned has
// passed its checksum.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/files.h"
#include "checkpoint/manifest.h"

namespace tl {

class CheckpointReader {
 public:
  // path: a checkpoint's folder. Parses the manifest and checks that every file is there with its
  // size; data are checked as they are read. As long as the reader lives, a run's retention leaves
  // the checkpoint alone.
  static absl::StatusOr<std::unique_ptr<CheckpointReader>> Open(const std::string& path);

  // Reads the manifest of a checkpoint whose data may be missing: opens no other file.
  static absl::StatusOr<Manifest> ReadManifest(const std::string& path);

  const Manifest& manifest() const { return manifest_; }
  const std::string& path() const { return path_; }
  // Finds a tensor that must be there with this shape: FailedPrecondition where it is not.
  absl::StatusOr<int> Find(const std::string& name, const std::string& role,
                           const Shape& shape) const;

  // Elements [begin, end) of a box of a tensor, in row-major order within the box, as stored.
  // Memory: one block.
  absl::Status Read(int tensor, const Box& box, int64_t begin, int64_t end, std::byte* out);
  // Does the same as fp32, whatever is stored.
  absl::Status ReadFloats(int tensor, const Box& box, int64_t begin, int64_t end, float* out);

  // Reads every byte of every file and calls report with what is wrong, as "FILE: ...".
  absl::Status VerifyFiles(const std::function<void(const std::string&)>& report);

 private:
  struct Place {
    int file;
    const Piece* piece;
  };
  CheckpointReader() = default;
  absl::Status OpenManifest(const std::string& path);
  absl::StatusOr<const File*> OpenShard(int file);
  absl::Status ReadBlock(const Place& place, int64_t first, int64_t count);
  absl::Status ReadRest(const File& file, const std::string& path, int64_t begin, int64_t end,
                        uint32_t* crc);

  std::string path_;
  File lock_;  // the manifest, with a shared lock
  Manifest manifest_;
  std::vector<std::vector<Place>> places_;  // by tensor
  std::vector<File> open_;                  // by file; few at a time
  int open_count_ = 0;
  std::vector<std::byte> block_;
};

}  // namespace tl
