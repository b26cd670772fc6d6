// SPDX-License-Identifier: Apache-2.0
// A file that grows by whole records, each visible at once. One that cannot be written, as on a
// full disk, waits in memory for the next that can.
#pragma once

#include <deque>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/files.h"

namespace tl {

class AppendFile {
 public:
  static absl::StatusOr<AppendFile> Open(const std::string& path);

  // All that waits and the record, or, on an error, nothing: what was written is taken back. Of
  // what waits the latest 16 MiB are kept.
  absl::Status Append(const std::string& record);
  // What waits alone.
  absl::Status Flush();
  int64_t waiting() const { return static_cast<int64_t>(waiting_.size()); }  // records
  int64_t lost() const { return lost_; }  // records that could not wait any longer
  const std::string& path() const { return path_; }

 private:
  AppendFile(File file, std::string path) : file_(std::move(file)), path_(std::move(path)) {}
  File file_;
  std::string path_;
  std::deque<std::string> waiting_;
  size_t waiting_bytes_ = 0;
  int64_t lost_ = 0;
};

}  // namespace tl
