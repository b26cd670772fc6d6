// SPDX-License-Identifier: Apache-2.0
// A file that is read in pieces for as long as a training lasts, and must stay what it was.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/files.h"

namespace tl {

// Reads by pread. In a file mapped into memory the part that somebody cuts off is a SIGBUS, or
// zeros up to the end of the page, and an error of a network file system is a SIGBUS too; here all
// of them are a status that names the file. From any thread.
class SteadyFile {
 public:
  // A regular file that is not empty. what: "the token file", for errors.
  static absl::StatusOr<std::unique_ptr<SteadyFile>> Open(const std::string& path,
                                                          const std::string& what);
  SteadyFile(const SteadyFile&) = delete;
  SteadyFile& operator=(const SteadyFile&) = delete;
  ~SteadyFile();
  const std::string& path() const { return path_; }
  int64_t size() const { return size_; }  // when it was opened

  // Bytes that lie within size(). An error (DataLoss) where the file has another size by now, or
  // was written to and begins or ends with other bytes; where it was written to and does not, a
  // warning. An error too where it had to be opened again, and another file has its name by then.
  absl::Status Read(int64_t offset, void* out, size_t bytes) const;

 private:
  // Those that have a descriptor, the one read last in front. Guarded by one mutex, as are the
  // members that they change: opened_ and place_.
  using Order = std::list<const SteadyFile*>;
  struct Identity {
    uint64_t device = 0, inode = 0;
    bool operator==(const Identity&) const = default;
  };

  explicit SteadyFile(std::string path) : path_(std::move(path)) {}
  static Order& Opened();
  static void CloseSome(size_t kept);
  static int OpenToRead(const std::string& path);
  // The file, open: closed by others, it stays so for as long as this is held.
  absl::StatusOr<std::shared_ptr<const File>> Acquire() const;
  absl::StatusOr<std::shared_ptr<const File>> Reopen() const;
  std::shared_ptr<const File> Keep(std::shared_ptr<const File> file) const;
  absl::Status CheckSame(const File& file) const;
  absl::StatusOr<uint32_t> EndsCrc(const File& file) const;

  const std::string path_;
  int64_t size_ = 0;
  Identity identity_;
  uint32_t ends_crc_ = 0;                        // of its first and last bytes
  mutable std::atomic<int64_t> written_at_ = 0;  // nanoseconds since 1970
  mutable std::shared_ptr<const File> opened_;   // null: closed meanwhile
  mutable Order::iterator place_;                // where opened_ is not null
};

}  // namespace tl
