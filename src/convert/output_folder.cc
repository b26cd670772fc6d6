// SPDX-License-Identifier: Apache-2.0
#include "convert/output_folder.h"

#include <fcntl.h>

#include <filesystem>
#include <system_error>
#include <utility>

#include "base/files.h"
#include "base/status.h"

namespace tl {
namespace {

absl::Status SyncFile(const std::string& path) {
  TL_ASSIGN_OR_RETURN(const File file, OpenFile(path, O_RDONLY));
  return Sync(file, path);
}

}  // namespace

absl::StatusOr<OutputFolder> OutputFolder::Create(const std::string& path) {
  TL_ASSIGN_OR_RETURN(Temporary temporary, Temporary::MakeFolder(path));
  return OutputFolder(std::move(temporary));
}

absl::Status OutputFolder::WriteText(const std::string& name, const std::string& text) const {
  const std::string path = At(name);
  TL_ASSIGN_OR_RETURN(File file, OpenFile(path, O_WRONLY | O_CREAT | O_EXCL));
  TL_RETURN_IF_ERROR(WriteAll(file, text.data(), text.size(), path));
  const int error = file.Close();
  return error == 0 ? absl::OkStatus() : SystemError(path, "write", error);
}

absl::Status OutputFolder::Commit() {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(temporary_.path(), error))
    TL_RETURN_IF_ERROR(SyncFile(entry.path().string()));
  return temporary_.Commit();
}

}  // namespace tl
