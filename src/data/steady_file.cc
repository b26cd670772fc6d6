// SPDX-License-Identifier: Apache-2.0
#include "data/steady_file.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <mutex>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "base/logging.h"
#include "base/status.h"

namespace tl {
namespace {

// At either end of a file: its header, and the last entries of an index.
constexpr int64_t kEndBytes = 4096;

std::mutex g_mutex;

// How many of these may be open: half of what the process may open, which opens more than these.
size_t MostOpen() {
  struct rlimit limit;
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return 1 << 16;
  return std::clamp<size_t>(limit.rlim_cur / 2, 1, 1 << 16);
}

int64_t WrittenAt(const struct stat& info) {
  return int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec;
}

}  // namespace

SteadyFile::Order& SteadyFile::Opened() {
  static auto& order = *new Order;  // outlives what is static
  return order;
}

void SteadyFile::CloseSome(size_t kept) {
  Order& order = Opened();
  while (order.size() > kept) {
    order.back()->opened_.reset();
    order.pop_back();
  }
}

int SteadyFile::OpenToRead(const std::string& path) {
  constexpr int kFlags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;  // a FIFO would wait for a writer
  const int fd = ::open(path.c_str(), kFlags);
  if (fd >= 0 || errno != EMFILE) return fd;
  // Others took more than their half.
  const std::lock_guard lock(g_mutex);
  CloseSome(Opened().size() / 2);
  return ::open(path.c_str(), kFlags);
}

absl::StatusOr<std::unique_ptr<SteadyFile>> SteadyFile::Open(const std::string& path,
                                                             const std::string& what) {
  const int fd = OpenToRead(path);
  if (fd < 0) return SystemError(path, "open " + what, errno);
  const auto opened = std::make_shared<const File>(fd);
  std::unique_ptr<SteadyFile> file(new SteadyFile(path));
  struct stat info;
  if (::fstat(fd, &info) != 0) return SystemError(path, "read its size", errno);
  const auto refuse = [&](const char* found) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": expected ", what, ", found ", found));
  };
  if (!S_ISREG(info.st_mode)) return refuse("something that is not a regular file");
  if (info.st_size == 0) return refuse("an empty file");
  file->size_ = info.st_size;
  file->identity_ = {info.st_dev, info.st_ino};
  file->written_at_ = WrittenAt(info);
  TL_ASSIGN_OR_RETURN(file->ends_crc_, file->EndsCrc(*opened));
  file->Keep(opened);
  return file;
}

SteadyFile::~SteadyFile() {
  const std::lock_guard lock(g_mutex);
  if (opened_ != nullptr) Opened().erase(place_);
}

std::shared_ptr<const File> SteadyFile::Keep(std::shared_ptr<const File> file) const {
  const std::lock_guard lock(g_mutex);
  if (opened_ != nullptr) return opened_;  // by another thread meanwhile
  CloseSome(MostOpen() - 1);
  opened_ = std::move(file);
  place_ = Opened().insert(Opened().begin(), this);
  return opened_;
}

absl::StatusOr<std::shared_ptr<const File>> SteadyFile::Acquire() const {
  {
    const std::lock_guard lock(g_mutex);
    if (opened_ != nullptr) {
      Opened().splice(Opened().begin(), Opened(), place_);
      return opened_;
    }
  }
  return Reopen();
}

absl::StatusOr<std::shared_ptr<const File>> SteadyFile::Reopen() const {
  const int fd = OpenToRead(path_);
  if (fd < 0) return SystemError(path_, "open it again", errno);
  auto file = std::make_shared<const File>(fd);
  struct stat info;
  if (::fstat(fd, &info) != 0) return SystemError(path_, "read its size", errno);
  // A file system that was mounted anew gives its files other numbers.
  const bool is_copy = info.st_size == size_ && WrittenAt(info) == written_at_;
  if (Identity{info.st_dev, info.st_ino} != identity_ && !is_copy)
    return absl::DataLossError(
        absl::StrCat(path_, ": replaced while it is read: another file has its name now"));
  return Keep(std::move(file));
}

absl::StatusOr<uint32_t> SteadyFile::EndsCrc(const File& file) const {
  std::array<char, kEndBytes> bytes;
  const auto n = static_cast<size_t>(std::min(size_, kEndBytes));
  TL_RETURN_IF_ERROR(ReadAt(file, bytes.data(), n, 0, path_));
  const uint32_t crc = Crc32c(bytes.data(), n);
  TL_RETURN_IF_ERROR(ReadAt(file, bytes.data(), n, size_ - static_cast<int64_t>(n), path_));
  return ExtendCrc32c(crc, bytes.data(), n);
}

absl::Status SteadyFile::CheckSame(const File& file) const {
  struct stat info;
  if (::fstat(file.fd(), &info) != 0) return SystemError(path_, "read its size", errno);
  if (info.st_size != size_)
    return absl::DataLossError(
        absl::StrCat(path_, ": had ", size_, " bytes when it was opened, has ", info.st_size,
                     " now: something overwrites it or cuts it off while it is read"));
  const int64_t written_at = WrittenAt(info);
  if (written_at_ == written_at) return absl::OkStatus();
  TL_ASSIGN_OR_RETURN(const uint32_t crc, EndsCrc(file));
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
  TL_ASSIGN_OR_RETURN(const std::shared_ptr<const File> file, Acquire());
  const absl::Status read = ReadAt(*file, out, bytes, offset, path_);
  // Its size says more than where reading ended; and after the read, so that a change before it
  // shows.
  const absl::Status same = CheckSame(*file);
  return same.ok() ? read : same;
}

}  // namespace tl
