#include "convert/output_folder.h"

#include <fcntl.h>
#include <unistd.h>

#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "base/status.h"

namespace tl {
namespace {

namespace fs = std::filesystem;

absl::Status SyncFile(const std::string& path) {
  TL_ASSIGN_OR_RETURN(const File file, OpenFile(path, O_RDONLY));
  return Sync(file, path);
}

}  // namespace

absl::StatusOr<OutputFolder> OutputFolder::Create(const std::string& path) {
  OutputFolder folder;
  std::string whole = path;
  while (whole.size() > 1 && whole.back() == '/') whole.pop_back();
  std::error_code error;
  if (fs::exists(whole, error) && !(fs::is_directory(whole, error) && fs::is_empty(whole, error)))
    return absl::AlreadyExistsError(
        absl::StrCat(whole, ": exists; expected the name of a new folder"));
  const std::string temporary = absl::StrCat(whole, ".tmp-", ::getpid());
  fs::create_directories(temporary, error);
  if (error) {
    return absl::InternalError(
        absl::StrCat(temporary, ": cannot create the folder: ", error.message()));
  }
  folder.final_ = whole;
  folder.temporary_ = temporary;
  return folder;
}

OutputFolder::OutputFolder(OutputFolder&& other) noexcept
    : final_(std::move(other.final_)), temporary_(std::exchange(other.temporary_, "")) {}

OutputFolder::~OutputFolder() {
  std::error_code ignored;
  if (!temporary_.empty()) fs::remove_all(temporary_, ignored);
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
  for (const auto& entry : fs::directory_iterator(temporary_, error))
    TL_RETURN_IF_ERROR(SyncFile(entry.path().string()));
  TL_RETURN_IF_ERROR(SyncFolder(temporary_));
  fs::rename(temporary_, final_, error);  // onto an empty folder it replaces that
  if (error) {
    return absl::InternalError(
        absl::StrCat(final_, ": cannot rename into place: ", error.message()));
  }
  temporary_.clear();
  const std::string parent = fs::path(final_).parent_path().string();
  return SyncFolder(parent.empty() ? "." : parent);
}

}  // namespace tl
