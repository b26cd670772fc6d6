// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/logging.h"
#include "base/status.h"
#include "base/where.h"
#include "checkpoint/health.h"
#include "checkpoint/manifest.h"

namespace tl {
namespace {

namespace fs = std::filesystem;

constexpr char kPrefix[] = "step_";
constexpr char kTemporary[] = ".tmp-", kDeleted[] = ".old-", kReplaced[] = ".was-";
constexpr char kOwner[] = "process ";  // how a lock file begins
constexpr std::chrono::seconds kLockPatience{10};

// The step of "step_00000100", with or without what stands after a dot.
std::optional<int64_t> StepOf(const std::string& name) {
  if (!absl::StartsWith(name, kPrefix)) return std::nullopt;
  const std::string digits = name.substr(sizeof(kPrefix) - 1);
  int64_t step = 0;
  if (digits.empty() || digits.size() > 18 ||
      digits.find_first_not_of("0123456789") != std::string::npos ||
      !absl::SimpleAtoi(digits, &step))
    return std::nullopt;
  return step;
}

bool HasManifest(const std::string& path) {
  std::error_code error;
  return fs::exists(path + "/" + kManifestName, error);
}

// Out of sight first, so that nobody sees half of it.
void Delete(const std::string& path) {
  const std::string away = absl::StrCat(path, kDeleted, getpid());
  std::error_code error;
  fs::rename(path, away, error);
  if (error) {
    LogWarning(path + ": cannot delete it: " + error.message());
    return;
  }
  fs::remove_all(away, error);
  if (error) LogWarning(away + ": cannot delete it: " + error.message());
}

// An exclusive lock where nobody reads the checkpoint; readers that come later see it go. Without a
// manifest or locks there is nothing to hold.
bool LockUnlessRead(const std::string& path, File* held) {
  absl::StatusOr<File> manifest = OpenFile(path + "/" + kManifestName, O_RDONLY);
  if (!manifest.ok()) return true;
  if (flock(manifest->fd(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) return false;
  *held = std::move(manifest).value();
  return true;
}

bool DeleteUnlessRead(const std::string& path) {
  File held;
  if (!LockUnlessRead(path, &held)) return false;
  Delete(path);
  return true;
}

// temporary becomes name; what name was before is deleted once that is durable.
absl::Status ExchangeOrReplace(const std::string& folder, const std::string& temporary,
                               const std::string& name) {
  if (rename(temporary.c_str(), name.c_str()) == 0) return SyncFolder(folder);
  if (errno != ENOTEMPTY && errno != EEXIST) return SystemError(name, "rename into place", errno);
  std::string before = temporary;
  if (renameat2(AT_FDCWD, temporary.c_str(), AT_FDCWD, name.c_str(), RENAME_EXCHANGE) != 0) {
    // Some network file systems cannot exchange names. Killed between the two, the next run's
    // RemoveLeftovers takes the first one back.
    before = absl::StrCat(name, kReplaced, getpid());
    if (rename(name.c_str(), before.c_str()) != 0 || rename(temporary.c_str(), name.c_str()) != 0)
      return SystemError(name, "rename into place", errno);
  }
  TL_RETURN_IF_ERROR(SyncFolder(folder));
  // One that is being read goes with the leftovers of a later run.
  DeleteUnlessRead(before);
  return absl::OkStatus();
}

}  // namespace

std::string TemporaryName(int64_t step, const std::string& id) {
  return CheckpointName(step) + kTemporary + id;
}

std::string CheckpointName(int64_t step) { return absl::StrFormat("%s%08d", kPrefix, step); }

std::vector<CheckpointEntry> ListCheckpoints(const std::string& folder) {
  std::vector<CheckpointEntry> entries;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const std::optional<int64_t> step = StepOf(it->path().filename().string());
    std::error_code ignored;
    if (step && it->is_directory(ignored)) entries.push_back({*step, it->path().string()});
  }
  std::sort(entries.begin(), entries.end(),
            [](const auto& a, const auto& b) { return a.step > b.step; });
  return entries;
}

absl::StatusOr<std::vector<std::string>> FindCheckpoints(const std::string& where) {
  std::error_code error;
  if (!fs::exists(where, error)) return SystemError(where, "open", error ? error.value() : ENOENT);
  if (HasManifest(where) || StepOf(fs::path(where).filename().string()))
    return std::vector<std::string>{where};
  std::vector<std::string> paths;
  for (const CheckpointEntry& entry : ListCheckpoints(where)) paths.push_back(entry.path);
  if (paths.empty())
    return absl::NotFoundError(where + ": no checkpoint (step_*/manifest.json) in this folder");
  return paths;
}

absl::StatusOr<FolderLock> FolderLock::Take(const std::string& folder) {
  const std::string path = folder + "/lock";
  TL_RETURN_IF_ERROR(CheckReplaceable(
      path,
      [](absl::string_view begin) { return begin.empty() || absl::StartsWith(begin, kOwner); },
      "a lock", {}));
  FolderLock lock;
  TL_ASSIGN_OR_RETURN(lock.file_, OpenFile(path, O_RDWR | O_CREAT | O_NOFOLLOW));
  const auto give_up = std::chrono::steady_clock::now() + kLockPatience;
  for (;;) {
    if (flock(lock.file_.fd(), LOCK_EX | LOCK_NB) == 0) break;
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK) return lock;  // no locks here
    if (std::chrono::steady_clock::now() > give_up) {
      const absl::StatusOr<std::string> owner = ReadWholeFile(lock.file_, 4096, path);
      return absl::FailedPreconditionError(
          absl::StrCat(path, ": another run writes checkpoints here (", owner.value_or("unknown"),
                       "); end it, or give this one a [checkpoint] dir of its own"));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  lock.held_ = true;
  const std::string owner = absl::StrCat(kOwner, getpid(), " on ", HostName());
  // For the message above only: on a full disk it stays empty.
  [[maybe_unused]] const int result = ftruncate(lock.file_.fd(), 0);
  WriteAt(lock.file_, owner.data(), owner.size(), 0, path).IgnoreError();
  return lock;
}

void RemoveLeftovers(const std::string& folder) {
  std::vector<std::string> leftovers;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    const size_t dot = name.find('.');
    if (dot == std::string::npos || !StepOf(name.substr(0, dot))) continue;
    const std::string suffix = name.substr(dot);
    if (absl::StartsWith(suffix, kReplaced)) {
      const std::string replaced = folder + "/" + name.substr(0, dot);
      if (!fs::exists(replaced, error)) fs::rename(it->path(), replaced, error);
    }
    if (absl::StartsWith(suffix, kTemporary) || absl::StartsWith(suffix, kDeleted) ||
        absl::StartsWith(suffix, kReplaced))
      leftovers.push_back(it->path().string());
  }
  for (const std::string& path : leftovers) {
    File held;
    if (!fs::exists(path, error) || !LockUnlessRead(path, &held)) continue;
    LogInfo(path + ": left by a run that died; deleting it");
    fs::remove_all(path, error);
  }
}

absl::Status CommitCheckpoint(const std::string& folder, const std::string& temporary,
                              int64_t step) {
  const std::string name = CheckpointName(step);
  TL_RETURN_IF_ERROR(CheckReplacesNoHealthy(folder, step, UnhealthySince(temporary)));
  TL_RETURN_IF_ERROR(SyncFolder(temporary));
  TL_RETURN_IF_ERROR(ExchangeOrReplace(folder, temporary, folder + "/" + name));
  // Committed: a hint that cannot be written costs nothing.
  if (const absl::Status hint = ReplaceFile(folder + "/LATEST", name + "\n"); !hint.ok())
    LogWarning(std::string(hint.message()));
  return absl::OkStatus();
}

void Retain(const std::string& folder, int64_t step, int64_t keep, int64_t keep_every) {
  int64_t healthy = 0;
  bool has_unhealthy = false;
  for (const CheckpointEntry& entry : ListCheckpoints(folder)) {
    if (entry.step > step || !HasManifest(entry.path)) continue;
    if (UnhealthySince(entry.path) > 0) {
      if (healthy == 0 && !std::exchange(has_unhealthy, true)) continue;
    } else {
      if (++healthy <= keep || keep <= 0) continue;
      if (keep_every > 0 && entry.step % keep_every == 0) continue;
    }
    if (!DeleteUnlessRead(entry.path))
      LogInfo(entry.path + ": is being read and stays until the next checkpoint");
  }
}

}  // namespace tl
