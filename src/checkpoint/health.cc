// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/health.h"

#include <fcntl.h>

#include <algorithm>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/files.h"
#include "checkpoint/folder.h"
#include "checkpoint/manifest.h"

namespace tl {
namespace {

// Tells whether there is a checkpoint at `path` that is not marked. What has no manifest is none.
bool IsHealthy(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::exists(path + "/" + kManifestName, ignored) && UnhealthySince(path) == 0;
}

}  // namespace

int64_t UnhealthySince(const std::string& path) {
  const std::string name = path + "/" + kManifestName;
  const absl::StatusOr<File> file = OpenFile(name, O_RDONLY);
  if (!file.ok()) return 0;
  const absl::StatusOr<int64_t> size = FileSize(*file, name);
  if (!size.ok()) return 0;
  std::string head(static_cast<size_t>(std::min(*size, kManifestHeadBytes)), '\0');
  if (!ReadAt(*file, head.data(), head.size(), 0, name).ok()) return 0;
  return UnhealthySinceOf(head);
}

absl::Status CheckReplacesNoHealthy(const std::string& folder, int64_t step,
                                    int64_t unhealthy_since) {
  const std::string path = absl::StrCat(folder, "/", CheckpointName(step));
  if (unhealthy_since == 0 || !IsHealthy(path)) return absl::OkStatus();
  return absl::AlreadyExistsError(
      absl::StrCat(path, ": is healthy and stays: the state of step ", step,
                   " is unhealthy since step ", unhealthy_since,
                   " and replaces no healthy checkpoint; to keep such states, set another "
                   "[checkpoint] dir"));
}

std::vector<std::string> HealthyFirst(std::vector<std::string> paths) {
  std::stable_partition(paths.begin(), paths.end(),
                        [](const std::string& path) { return UnhealthySince(path) == 0; });
  return paths;
}

std::string HealthNotice(const std::vector<std::string>& paths) {
  std::vector<std::string> ill;
  const bool healthy = std::any_of(paths.begin(), paths.end(), [&](const std::string& path) {
    const int64_t since = UnhealthySince(path);
    if (since > 0) ill.push_back(absl::StrCat(path, " is unhealthy since step ", since));
    return IsHealthy(path);
  });
  if (ill.empty()) return "";
  if (healthy)
    return absl::StrCat(absl::StrJoin(ill, ", "),
                        " (losses, gradients or weights were not finite) and passed over; to take ",
                        ill.size() == 1 ? "it" : "one",
                        " all the same, name it instead of its folder");
  return absl::StrCat(ill[0], ": losses, gradients or weights were not finite when it was saved",
                      paths.size() > 1 ? "; there is no healthy one beside it" : "");
}

std::string NewestHealthy(const std::string& folder) {
  for (const CheckpointEntry& entry : ListCheckpoints(folder)) {
    if (IsHealthy(entry.path)) return entry.path;
  }
  return "";
}

std::string FirstChoice(const std::string& folder) {
  const absl::StatusOr<std::vector<std::string>> paths = FindCheckpoints(folder);
  return paths.ok() ? std::filesystem::path(HealthyFirst(*paths)[0]).filename().string() : "";
}

}  // namespace tl
