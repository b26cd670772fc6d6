// SPDX-License-Identifier: Apache-2.0
// Scalars in TensorBoard's event files: TFRecords (u64 length, masked CRC32C of it, data, masked
// CRC32C of it; little-endian) of Event protocol buffers, encoded here by hand.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "train/append_file.h"

namespace tl {

using Scalar = std::pair<std::string, float>;  // tag, value

class TensorBoardFile {
 public:
  // A new file events.out.tfevents.<time>.<host>.<pid> in dir. TensorBoard then forgets what
  // earlier files there say of steps after resume_step.
  static absl::StatusOr<TensorBoardFile> Open(const std::string& dir, int64_t resume_step);
  absl::Status Write(int64_t step, absl::Span<const Scalar> scalars);
  const std::string& path() const { return file_.path(); }
  // See AppendFile.
  absl::Status Flush() { return file_.Flush(); }
  int64_t waiting() const { return file_.waiting(); }
  int64_t lost() const { return file_.lost(); }

 private:
  explicit TensorBoardFile(AppendFile file) : file_(std::move(file)) {}
  AppendFile file_;
};

// One TFRecord around data.
std::string FrameRecord(const std::string& data);
// An Event with a Summary of scalars; wall_time in seconds since 1970.
std::string EncodeScalars(double wall_time, int64_t step, absl::Span<const Scalar> scalars);

}  // namespace tl
