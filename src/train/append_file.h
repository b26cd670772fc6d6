// A file that grows by whole records, each written by one call and visible at once.
#pragma once

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/files.h"

namespace tl {

class AppendFile {
 public:
  static absl::StatusOr<AppendFile> Open(const std::string& path);

  // All of it or, on an error, nothing: what was written is taken back.
  absl::Status Append(const std::string& bytes);
  const std::string& path() const { return path_; }

 private:
  AppendFile(File file, std::string path) : file_(std::move(file)), path_(std::move(path)) {}
  File file_;
  std::string path_;
};

}  // namespace tl
