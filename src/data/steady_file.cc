#include "data/steady_file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "base/logging.h"
#include "base/status.h"

namespace tl {
namespace {

// At either end of a file: its header, and the last entries of an index.
constexpr int64_t kEndBytes = 4096;

int64_t WrittenAt(const struct stat& info) {
  return int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec;
}

}  // namespace

absl::StatusOr<std::unique_ptr<SteadyFile>> SteadyFile::Open(const std::string& path,
                                                             const std::string& what) {
  // A FIFO would wait for a writer.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return SystemError(path, "open " + what, errno);
  std::unique_ptr<SteadyFile> file(new SteadyFile(File(fd), path));
  struct stat info;
  if (::fstat(fd, &info) != 0) return SystemError(path, "read its size", errno);
  const auto refuse = [&](const char* found) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": expected ", what, ", found ", found));
  };
  if (!S_ISREG(info.st_mode)) return refuse("something that is not a regular file");
  if (info.st_size == 0) return refuse("an empty file");
  file->size_ = info.st_size;
  file->written_at_ = WrittenAt(info);
  TL_ASSIGN_OR_RETURN(file->ends_crc_, file->EndsCrc());
  return file;
}

absl::StatusOr<uint32_t> SteadyFile::EndsCrc() const {
  std::array<char, kEndBytes> bytes;
  const auto n = static_cast<size_t>(std::min(size_, kEndBytes));
  TL_RETURN_IF_ERROR(ReadAt(file_, bytes.data(), n, 0, path_));
  const uint32_t crc = Crc32c(bytes.data(), n);
  TL_RETURN_IF_ERROR(ReadAt(file_, bytes.data(), n, size_ - static_cast<int64_t>(n), path_));
  return ExtendCrc32c(crc, bytes.data(), n);
}

absl::Status SteadyFile::CheckSame() const {
  struct stat info;
  if (::fstat(file_.fd(), &info) != 0) return SystemError(path_, "read its size", errno);
  if (info.st_size != size_)
    return absl::DataLossError(
        absl::StrCat(path_, ": had ", size_, " bytes when it was opened, has ", info.st_size,
                     " now: something overwrites it or cuts it off while it is read"));
  const int64_t written_at = WrittenAt(info);
  if (written_at_ == written_at) return absl::OkStatus();
  TL_ASSIGN_OR_RETURN(const uint32_t crc, EndsCrc());
  if (crc != ends_crc_)
    return absl::DataLossError(absl::StrCat(
        path_,
        ": overwritten while it is read: it has other bytes at its start or end than when "
        "it was opened"));
  if (written_at_.exchange(written_at) == written_at) return absl::OkStatus();  // told already
  LogWarning(path_ + ": written to while it is read; its size, start and end are as they were");
  return absl::OkStatus();
}

absl::Status SteadyFile::Read(int64_t offset, void* out, size_t bytes) const {
  TL_CHECK(offset >= 0 && static_cast<int64_t>(bytes) <= size_ - offset)
      << path_ << ": bytes " << offset << " + " << bytes << " of " << size_;
  const absl::Status read = ReadAt(file_, out, bytes, offset, path_);
  // Its size says more than where reading ended; and after the read, so that a change before it
  // shows.
  const absl::Status same = CheckSame();
  return same.ok() ? read : same;
}

}  // namespace tl
