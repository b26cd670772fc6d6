// A file that is read in pieces for as long as a training lasts, and must stay what it was.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
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
  const std::string& path() const { return path_; }
  int64_t size() const { return size_; }  // when it was opened

  // Bytes that lie within size(). An error (DataLoss) where the file has another size by now, or
  // was written to and begins or ends with other bytes; where it was written to and does not, a
  // warning.
  absl::Status Read(int64_t offset, void* out, size_t bytes) const;

 private:
  SteadyFile(File file, std::string path) : file_(std::move(file)), path_(std::move(path)) {}
  absl::Status CheckSame() const;
  absl::StatusOr<uint32_t> EndsCrc() const;

  const File file_;
  const std::string path_;
  int64_t size_ = 0;
  uint32_t ends_crc_ = 0;                        // of its first and last bytes
  mutable std::atomic<int64_t> written_at_ = 0;  // nanoseconds since 1970
};

}  // namespace tl
