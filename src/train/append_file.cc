#include "train/append_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <utility>

#include "base/status.h"

namespace tl {

absl::StatusOr<AppendFile> AppendFile::Open(const std::string& path) {
  TL_ASSIGN_OR_RETURN(File file, OpenFile(path, O_WRONLY | O_CREAT | O_APPEND));
  return AppendFile(std::move(file), path);
}

absl::Status AppendFile::Append(const std::string& bytes) {
  const off_t end = ::lseek(file_.fd(), 0, SEEK_END);
  const absl::Status status = WriteAll(file_, bytes.data(), bytes.size(), path_);
  if (!status.ok() && end >= 0) {
    // On a full disk a part may have been written. Only a regular file can give it back.
    [[maybe_unused]] const int result = ::ftruncate(file_.fd(), end);
  }
  return status;
}

}  // namespace tl
