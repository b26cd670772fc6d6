#include "base/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace tl {

absl::Status SystemError(const std::string& path, const std::string& what, int error) {
  const std::string message = absl::StrCat(path, ": cannot ", what, ": ", strerror(error));
  switch (error) {
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::PermissionDeniedError(message);
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
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
  TL_ASSIGN_OR_RETURN(const File file, OpenFile(path, O_RDONLY));
  std::string begin(static_cast<size_t>(std::min<off_t>(there.st_size, 16)), '\0');
  TL_RETURN_IF_ERROR(ReadAt(file, begin.data(), begin.size(), 0, path));
  return is_kind(begin) ? absl::OkStatus() : refuse("another file");
}

absl::Status ReplaceFile(const std::string& path, const std::string& bytes) {
  const std::string temporary = path + ".tmp";
  TL_ASSIGN_OR_RETURN(File file, OpenFile(temporary, O_WRONLY | O_CREAT | O_TRUNC));
  absl::Status status = WriteAll(file, bytes.data(), bytes.size(), temporary);
  if (status.ok()) status = Sync(file, temporary);
  if (const int error = file.Close(); error != 0 && status.ok())
    status = SystemError(temporary, "write", error);
  if (status.ok() && ::rename(temporary.c_str(), path.c_str()) != 0)
    status = SystemError(path, "replace", errno);
  if (!status.ok()) ::unlink(temporary.c_str());
  return status;
}

}  // namespace tl
