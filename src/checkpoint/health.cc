#include "checkpoint/health.h"

#include <fcntl.h>

#include <algorithm>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "checkpoint/folder.h"
#include "checkpoint/manifest.h"

namespace tl {

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

std::vector<std::string> HealthyFirst(std::vector<std::string> paths) {
  std::stable_partition(paths.begin(), paths.end(),
                        [](const std::string& path) { return UnhealthySince(path) == 0; });
  return paths;
}

std::string HealthNotice(const std::vector<std::string>& paths) {
  if (paths.empty()) return "";
  const int64_t since = UnhealthySince(paths[0]);
  if (since == 0) return "";
  const std::string what = absl::StrCat(paths[0], " is unhealthy since step ", since);
  if (UnhealthySince(HealthyFirst(paths)[0]) == 0)
    return absl::StrCat(what,
                        " (losses or gradients were not finite) and passed over; to take it all "
                        "the same, name it instead of its folder");
  return absl::StrCat(what, ": losses, gradients or weights were not finite when it was saved",
                      paths.size() > 1 ? "; there is no healthy one beside it" : "");
}

std::string NewestHealthy(const std::string& folder) {
  for (const CheckpointEntry& entry : ListCheckpoints(folder)) {
    std::error_code ignored;
    if (std::filesystem::exists(entry.path + "/" + kManifestName, ignored) &&
        UnhealthySince(entry.path) == 0)
      return entry.path;
  }
  return "";
}

std::string FirstChoice(const std::string& folder) {
  const absl::StatusOr<std::vector<std::string>> paths = FindCheckpoints(folder);
  return paths.ok() ? std::filesystem::path(HealthyFirst(*paths)[0]).filename().string() : "";
}

}  // namespace tl
