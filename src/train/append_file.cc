// SPDX-License-Identifier: Apache-2.0
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

absl::Status AppendFile::Append(const std::string& record) {
  constexpr size_t kMostWaiting = 16 << 20;
  waiting_.push_back(record);
  waiting_bytes_ += record.size();
  for (; waiting_bytes_ > kMostWaiting && waiting_.size() > 1; waiting_.pop_front()) {
    waiting_bytes_ -= waiting_.front().size();
    ++lost_;
  }
  return Flush();
}

absl::Status AppendFile::Flush() {
  std::string all;
  for (const std::string& waiting : waiting_) all += waiting;
  const off_t end = ::lseek(file_.fd(), 0, SEEK_END);
  const absl::Status status = WriteAll(file_, all.data(), all.size(), path_);
  if (status.ok()) {
    waiting_.clear();
    waiting_bytes_ = 0;
  } else if (end >= 0) {
    // On a full disk a part may have been written. Only a regular file can give it back.
    [[maybe_unused]] const int result = ::ftruncate(file_.fd(), end);
  }
  return status;
}

}  // namespace tl
