#include "convert/output_folder.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace tl {
namespace {

namespace fs = std::filesystem;

absl::Status Sync(const std::string& path, int flags) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | flags);
  if (fd < 0) return absl::ErrnoToStatus(errno, absl::StrCat(path, ": cannot open"));
  const int error = fsync(fd) == 0 ? 0 : errno;
  close(fd);
  if (error != 0) return absl::ErrnoToStatus(error, absl::StrCat(path, ": cannot write"));
  return absl::OkStatus();
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
  std::FILE* file = std::fopen(path.c_str(), "wb");
  if (file == nullptr) return absl::ErrnoToStatus(errno, absl::StrCat(path, ": cannot create"));
  const bool written = std::fwrite(text.data(), 1, text.size(), file) == text.size();
  const int error = errno;
  if (std::fclose(file) != 0 || !written)
    return absl::ErrnoToStatus(written ? errno : error, absl::StrCat(path, ": cannot write"));
  return absl::OkStatus();
}

absl::Status OutputFolder::Commit() {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(temporary_, error))
    TL_RETURN_IF_ERROR(Sync(entry.path().string(), 0));
  TL_RETURN_IF_ERROR(Sync(temporary_, O_DIRECTORY));
  fs::rename(temporary_, final_, error);  // onto an empty folder it replaces that
  if (error) {
    return absl::InternalError(
        absl::StrCat(final_, ": cannot rename into place: ", error.message()));
  }
  temporary_.clear();
  const std::string parent = fs::path(final_).parent_path().string();
  return Sync(parent.empty() ? "." : parent, O_DIRECTORY);
}

}  // namespace tl
