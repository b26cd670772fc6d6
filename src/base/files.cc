// SPDX-License-Identifier: Apache-2.0
#include "base/files.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <limits>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "base/temporary.h"

namespace tl {

namespace {

// In bytes; negative: none.
int64_t FileSizeLimit() {
  struct rlimit limit;
  if (::getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY ||
      limit.rlim_cur > static_cast<rlim_t>(std::numeric_limits<int64_t>::max()))
    return -1;
  return static_cast<int64_t>(limit.rlim_cur);
}

std::string LimitText(int64_t bytes) {
  return absl::StrCat("the limit on a file's size (ulimit -f) is ", bytes, " bytes");
}

}  // namespace

absl::Status SystemError(const std::string& path, const std::string& what, int error) {
  std::string message = absl::StrCat(path, ": cannot ", what, ": ", strerror(error));
  if (const int64_t limit = FileSizeLimit(); error == EFBIG && limit >= 0)
    absl::StrAppend(&message, ": ", LimitText(limit));
  if (struct rlimit limit; error == EMFILE && ::getrlimit(RLIMIT_NOFILE, &limit) == 0)
    absl::StrAppend(&message, ": ulimit -n is ", limit.rlim_cur);
  switch (error) {
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::PermissionDeniedError(message);
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
    case EMFILE:
      return absl::ResourceExhaustedError(message);
    case ENOENT:
      return absl::NotFoundError(message);
    default:
      return absl::UnavailableError(message);
  }
}

int File::Close() {
  if (fd_ < 0) return 0;
  return ::close(std::exchange(fd_, -1)) == 0 ? 0 : errno;
}

absl::StatusOr<File> OpenFile(const std::string& path, int flags, int mode) {
  const int fd = ::open(path.c_str(), flags | O_CLOEXEC, mode);
  if (fd >= 0) return File(fd);
  const bool writes = (flags & O_ACCMODE) != O_RDONLY;
  return SystemError(path, writes ? "open for writing" : "open", errno);
}

absl::Status WriteAll(const File& file, const void* data, size_t size, const std::string& path) {
  const auto* from = static_cast<const char*>(data);
  for (size_t done = 0; done < size;) {
    const ssize_t n = ::write(file.fd(), from + done, size - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return SystemError(path, "write", errno);
    done += static_cast<size_t>(n);
  }
  return absl::OkStatus();
}

absl::Status WriteAt(const File& file, const void* data, size_t size, int64_t offset,
                     const std::string& path) {
  const auto* from = static_cast<const char*>(data);
  for (size_t done = 0; done < size;) {
    const ssize_t n =
        ::pwrite(file.fd(), from + done, size - done, offset + static_cast<int64_t>(done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return SystemError(path, "write", errno);
    done += static_cast<size_t>(n);
  }
  return absl::OkStatus();
}

absl::Status ReadAt(const File& file, void* data, size_t size, int64_t offset,
                    const std::string& path) {
  auto* to = static_cast<char*>(data);
  for (size_t done = 0; done < size;) {
    const ssize_t n =
        ::pread(file.fd(), to + done, size - done, offset + static_cast<int64_t>(done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return SystemError(path, "read", errno);
    if (n == 0)
      return absl::DataLossError(absl::StrCat(path, ": ends at byte ", offset + done, ", expected ",
                                              size - done, " more"));
    done += static_cast<size_t>(n);
  }
  return absl::OkStatus();
}

absl::Status CheckFileSizeLimit(const std::string& path, int64_t bytes) {
  const int64_t limit = FileSizeLimit();
  if (limit < 0 || bytes <= limit) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat(path, ": cannot write up to ", bytes, " bytes: ", LimitText(limit)));
}

absl::StatusOr<int64_t> FileSize(const File& file, const std::string& path) {
  struct stat info;
  if (::fstat(file.fd(), &info) != 0) return SystemError(path, "read its size", errno);
  if (!S_ISREG(info.st_mode)) return absl::InvalidArgumentError(path + ": not a regular file");
  return int64_t{info.st_size};
}

absl::StatusOr<std::string> ReadWholeFile(const File& file, int64_t most, const std::string& path) {
  TL_ASSIGN_OR_RETURN(const int64_t size, FileSize(file, path));
  if (size > most)
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": has ", size, " bytes, expected at most ", most));
  std::string text(static_cast<size_t>(size), '\0');
  TL_RETURN_IF_ERROR(ReadAt(file, text.data(), text.size(), 0, path));
  return text;
}

absl::Status Sync(const File& file, const std::string& path) {
  return ::fsync(file.fd()) == 0 ? absl::OkStatus() : SystemError(path, "write to disk", errno);
}

absl::Status SyncFolder(const std::string& path) {
  TL_ASSIGN_OR_RETURN(const File folder, OpenFile(path, O_RDONLY | O_DIRECTORY));
  // Some file systems cannot sync a folder, and need not.
  if (::fsync(folder.fd()) != 0 && errno != EINVAL && errno != ENOTSUP)
    return SystemError(path, "write to disk", errno);
  return absl::OkStatus();
}

absl::Status MakeWritableFolder(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) return SystemError(path, "make the folder", error.value());
  if (!std::filesystem::is_directory(path, error)) {
    return SystemError(path, "use it as a folder", ENOTDIR);
  }
  if (::access(path.c_str(), W_OK | X_OK) != 0) return SystemError(path, "write into it", errno);
  return absl::OkStatus();
}

absl::Status CheckReplaceable(const std::string& path, IsKind is_kind, const std::string& name,
                              const std::vector<std::string>& inputs) {
  struct stat there;
  if (::lstat(path.c_str(), &there) != 0)
    return errno == ENOENT ? absl::OkStatus() : SystemError(path, "look it up", errno);
  const auto refuse = [&](const std::string& found) {
    return absl::FailedPreconditionError(absl::StrCat(path, ": expected a new name or that of ",
                                                      name, " to replace, found ", found));
  };
  if (S_ISLNK(there.st_mode)) return refuse("a symbolic link");
  if (S_ISDIR(there.st_mode)) return refuse("a folder");
  if (!S_ISREG(there.st_mode)) return refuse("something that is not a regular file");
  for (const std::string& input : inputs) {
    struct stat read;
    if (::stat(input.c_str(), &read) == 0 && read.st_dev == there.st_dev &&
        read.st_ino == there.st_ino)
      return refuse("an input of this command, " + input);
  }
  constexpr off_t kBegin = 64;
  TL_ASSIGN_OR_RETURN(const File file, OpenFile(path, O_RDONLY));
  std::string begin(static_cast<size_t>(std::min<off_t>(there.st_size, kBegin)), '\0');
  TL_RETURN_IF_ERROR(ReadAt(file, begin.data(), begin.size(), 0, path));
  return is_kind(begin) ? absl::OkStatus() : refuse("another file");
}

absl::Status ReplaceFile(const std::string& path, const std::string& bytes) {
  TL_ASSIGN_OR_RETURN(Temporary temporary, Temporary::MakeFile(path));
  TL_RETURN_IF_ERROR(WriteAll(temporary.file(), bytes.data(), bytes.size(), path));
  return temporary.Commit();
}

}  // namespace tl
