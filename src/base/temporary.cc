// SPDX-License-Identifier: Apache-2.0
#include "base/temporary.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <optional>
#include <system_error>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "base/crc32c.h"
#include "base/logging.h"
#include "base/status.h"
#include "base/utf8.h"
#include "base/where.h"

namespace tl {
namespace {

namespace fs = std::filesystem;

constexpr char kInfix[] = ".tmp-trunkline-";
constexpr size_t kMostHost = 64;  // bytes of its name

std::string WithoutSlash(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

std::string ParentOf(const std::string& path) {
  const std::string parent = fs::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

// Tells whether the open file still has this name.
bool IsAt(const File& file, const std::string& path) {
  struct stat opened, there;
  return ::fstat(file.fd(), &opened) == 0 && ::lstat(path.c_str(), &there) == 0 &&
         opened.st_dev == there.st_dev && opened.st_ino == there.st_ino;
}

// As it stands in names.
std::string ThisHost() {
  std::string host = HostName().substr(0, kMostHost);
  for (char& ch : host)
    if (!absl::ascii_isalnum(ch) && ch != '.' && ch != '-') ch = '_';
  return host;
}

// What the names of temporaries for this path begin with. A name that leaves no room for the rest
// is cut.
std::string BeginOf(const std::string& path) {
  constexpr absl::string_view kLongestRest = "4294967296-99@";
  constexpr size_t kMost = NAME_MAX - (sizeof(kInfix) - 1) - kLongestRest.size() - kMostHost;
  constexpr size_t kMark = 9;
  std::string name = fs::path(path).filename().string();
  if (name.size() > kMost)
    name = absl::StrFormat("%s~%08x", Shortened(name, kMost - kMark),
                           Crc32c(name.data(), name.size()));
  return name + kInfix;
}

// The host of the process whose temporary ends so, "" where it says none; nothing where no
// temporary ends so.
std::optional<std::string> HostOf(absl::string_view rest) {
  const auto take_number = [&rest] {
    const size_t digits = std::min(rest.find_first_not_of("0123456789"), rest.size());
    rest.remove_prefix(digits);
    return digits > 0;
  };
  if (!take_number()) return std::nullopt;
  if (absl::ConsumePrefix(&rest, "-") && !take_number()) return std::nullopt;
  if (rest.empty()) return "";
  if (!absl::ConsumePrefix(&rest, "@") || rest.empty()) return std::nullopt;
  return std::string(rest);
}

bool IsOlderThanADay(const struct stat& info) {
  return std::time(nullptr) - info.st_mtim.tv_sec > 24 * 60 * 60;
}

// Removes a file, or a folder, of whom nobody holds the lock; its process died.
void RemoveIfLeft(const std::string& path, bool is_folder, bool is_of_this_host) {
  // NFS locks for writing what is open for writing alone, and nobody opens a folder for that.
  const int flags = is_folder ? O_RDONLY | O_DIRECTORY : O_RDWR;
  struct stat there;
  if (::lstat(path.c_str(), &there) != 0 ||
      !(is_folder ? S_ISDIR(there.st_mode) : S_ISREG(there.st_mode)))
    return;
  const auto file = OpenFile(path, flags | O_NOFOLLOW | O_NONBLOCK);
  if (!file.ok() || ::flock(file->fd(), LOCK_EX | LOCK_NB) != 0 || !IsAt(*file, path)) return;
  if (!is_of_this_host && !IsOlderThanADay(there)) return;
  LogInfo(path + ": left by a command that died; deleting it");
  std::error_code error;
  fs::remove_all(path, error);
}

// Removes what processes left that no longer live. Where the file system has no locks nothing is
// known of them, and nothing removed.
void RemoveLeftovers(const std::string& path, bool is_folder) {
  const std::string begin = BeginOf(path), here = ThisHost();
  std::vector<std::pair<std::string, bool>> leftovers;
  std::error_code error;
  for (fs::directory_iterator it(ParentOf(path), error), end; !error && it != end;
       it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (!absl::StartsWith(name, begin)) continue;
    const auto host = HostOf(absl::string_view(name).substr(begin.size()));
    if (host.has_value()) leftovers.emplace_back(it->path().string(), *host == here);
  }
  for (const auto& [leftover, is_of_this_host] : leftovers)
    RemoveIfLeft(leftover, is_folder, is_of_this_host);
}

}  // namespace

absl::Status CheckNewFolder(const std::string& path) {
  const std::string whole = WithoutSlash(path);
  struct stat there;
  if (::lstat(whole.c_str(), &there) != 0)
    return errno == ENOENT ? absl::OkStatus() : SystemError(whole, "look it up", errno);
  std::error_code error;
  if (S_ISDIR(there.st_mode) && fs::is_empty(whole, error)) return absl::OkStatus();
  return absl::AlreadyExistsError(
      absl::StrCat(whole, ": exists; expected the name of a new folder"));
}

absl::StatusOr<Temporary::Place> Temporary::PlaceOf(const std::string& path) {
  struct stat there;
  if (::lstat(path.c_str(), &there) == 0) return Place{true, there.st_dev, there.st_ino};
  if (errno != ENOENT) return SystemError(path, "look it up", errno);
  return Place{};
}

Temporary::Temporary(std::string path, bool is_folder, Place before, std::string temporary,
                     File file)
    : final_(std::move(path)),
      is_folder_(is_folder),
      before_(before),
      temporary_(std::move(temporary)),
      file_(std::move(file)),
      on_signal_(temporary_) {}

Temporary::Temporary(Temporary&& other) noexcept
    : final_(std::move(other.final_)),
      is_folder_(other.is_folder_),
      before_(other.before_),
      temporary_(std::exchange(other.temporary_, "")),
      file_(std::move(other.file_)),
      on_signal_(std::move(other.on_signal_)) {}

Temporary::~Temporary() { Remove(); }

void Temporary::Remove() {
  std::error_code ignored;
  if (!temporary_.empty()) fs::remove_all(temporary_, ignored);
  temporary_.clear();
}

absl::StatusOr<Temporary> Temporary::MakeFile(const std::string& path) {
  struct stat there;
  if (::lstat(path.c_str(), &there) == 0 && !S_ISREG(there.st_mode))
    return absl::FailedPreconditionError(
        absl::StrCat(path, ": expected a new name or a regular file to replace, found ",
                     S_ISLNK(there.st_mode)   ? "a symbolic link"
                     : S_ISDIR(there.st_mode) ? "a folder"
                                              : "something else"));
  return Make(path, /*is_folder=*/false);
}

absl::StatusOr<Temporary> Temporary::MakeFolder(const std::string& path) {
  TL_RETURN_IF_ERROR(CheckNewFolder(path));
  std::error_code error;
  fs::create_directories(ParentOf(WithoutSlash(path)), error);
  if (error) return SystemError(ParentOf(WithoutSlash(path)), "make the folder", error.value());
  return Make(WithoutSlash(path), /*is_folder=*/true);
}

absl::StatusOr<Temporary> Temporary::Make(const std::string& path, bool is_folder) {
  constexpr int kTries = 100;  // others of this number: in another container of this name
  TL_ASSIGN_OR_RETURN(const Place before, PlaceOf(path));
  RemoveLeftovers(path, is_folder);
  const std::string begin = fs::path(path).replace_filename(BeginOf(path)).string();
  for (int n = 0; n < kTries; ++n) {
    const std::string name =
        absl::StrCat(begin, ::getpid(), n == 0 ? "" : absl::StrCat("-", n), "@", ThisHost());
    const HoldSignals hold;
    const int flags = is_folder ? O_RDONLY | O_DIRECTORY : O_RDWR | O_CREAT | O_EXCL;
    const bool made = !is_folder || ::mkdir(name.c_str(), 0777) == 0;
    File file(made ? ::open(name.c_str(), flags | O_CLOEXEC, 0666) : -1);
    if (!file && errno == EEXIST) continue;
    if (!file) return SystemError(name, "create", errno);
    Temporary temporary(path, is_folder, before, name, std::move(file));
    // Another process may take it for a leftover before it is locked.
    const bool locked = ::flock(temporary.file_.fd(), LOCK_EX | LOCK_NB) == 0;
    if ((locked || errno != EWOULDBLOCK) && IsAt(temporary.file_, name)) return temporary;
  }
  return SystemError(begin, "create", EEXIST);
}

absl::Status Temporary::Commit() {
  if (const absl::Status synced = Sync(file_, temporary_);
      !synced.ok() && !(is_folder_ && (errno == EINVAL || errno == ENOTSUP)))
    return synced;
  TL_ASSIGN_OR_RETURN(const Place now, PlaceOf(final_));
  if (now != before_)
    return absl::FailedPreconditionError(
        absl::StrCat(final_, ": made or replaced by something else meanwhile"));
  // Without a name to replace none is replaced; some file systems cannot promise that.
  int result = -1;
  if (!before_.taken) {
    result = ::renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, final_.c_str(), RENAME_NOREPLACE);
  }
  if (before_.taken || (result != 0 && (errno == EINVAL || errno == ENOSYS)))
    result = ::rename(temporary_.c_str(), final_.c_str());
  if (result != 0) return SystemError(final_, "rename into place", errno);
  temporary_.clear();
  return SyncFolder(ParentOf(final_));
}

}  // namespace tl
