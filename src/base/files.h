// SPDX-License-Identifier: Apache-2.0
// System calls on files, with errors that name the path and the system's reason.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace tl {

// Says "PATH: cannot WHAT: REASON", by a code that follows from errno; for EFBIG also the limit.
absl::Status SystemError(const std::string& path, const std::string& what, int error);

// Owns a file descriptor.
class File {
 public:
  File() = default;
  explicit File(int fd) : fd_(fd) {}
  File(File&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  File& operator=(File&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~File() { Close(); }
  int fd() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int Close();  // errno, or 0

 private:
  int fd_ = -1;
};

// Opens with flags and mode as of open(2); O_CLOEXEC is added.
absl::StatusOr<File> OpenFile(const std::string& path, int flags, int mode = 0666);
absl::Status WriteAll(const File& file, const void* data, size_t size, const std::string& path);
absl::Status WriteAt(const File& file, const void* data, size_t size, int64_t offset,
                     const std::string& path);
// Reads all of it: an error where the file is shorter.
absl::Status ReadAt(const File& file, void* data, size_t size, int64_t offset,
                    const std::string& path);
// Refuses a size that this process may not write: RLIMIT_FSIZE, `ulimit -f` (ResourceExhausted).
absl::Status CheckFileSizeLimit(const std::string& path, int64_t bytes);
absl::StatusOr<int64_t> FileSize(const File& file, const std::string& path);
// Reads at most so many bytes; a larger file is an error.
absl::StatusOr<std::string> ReadWholeFile(const File& file, int64_t most, const std::string& path);

absl::Status Sync(const File& file, const std::string& path);
absl::Status SyncFolder(const std::string& path);
// Makes the folder and its parents, and finds out whether files can be made in it.
absl::Status MakeWritableFolder(const std::string& path);
// Checks that a rename may put a file at `path`: nothing is there yet, or a regular file whose
// first bytes are of the kind that replaces it, and that is none of `inputs`, by whatever name. A
// link, folder, FIFO or device there, an input, or a file of another kind is an error
// (FailedPrecondition). name: "a token file".
using IsKind = bool (*)(absl::string_view first_bytes);
absl::Status CheckReplaceable(const std::string& path, IsKind is_kind, const std::string& name,
                              const std::vector<std::string>& inputs);
// Replaces the file in one step: a reader sees the old contents or the new. What is there and no
// regular file is left as it is, and an error.
absl::Status ReplaceFile(const std::string& path, const std::string& bytes);

}  // namespace tl
