// A file that grows by whole records, each written by one call and visible at once.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tl {

// Errors of all functions here name the path and the system's reason (no space, no permission).
class AppendFile {
 public:
  static absl::StatusOr<AppendFile> Open(const std::string& path);
  AppendFile(AppendFile&& other) noexcept;
  AppendFile& operator=(AppendFile&& other) noexcept;
  ~AppendFile();

  // All of it or, on an error, nothing: what was written is taken back.
  absl::Status Append(const std::string& bytes);
  const std::string& path() const { return path_; }

 private:
  AppendFile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  int fd_ = -1;
  std::string path_;
};

// Makes the folder and its parents, and finds out whether files can be made in it.
absl::Status MakeWritableFolder(const std::string& path);

// Replaces the file in one step: a reader sees the old contents or the new.
absl::Status ReplaceFile(const std::string& path, const std::string& bytes);

}  // namespace tl
