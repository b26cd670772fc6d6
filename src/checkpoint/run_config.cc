// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/run_config.h"

#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "checkpoint/folder.h"
#include "checkpoint/manifest.h"
#include "checkpoint/reader.h"
#include "config/parse.h"
#include "objective/keys.h"

namespace tl {

absl::StatusOr<Config> LoadRunConfig(const std::string& dir,
                                     absl::Span<const std::string> overrides) {
  const std::filesystem::path path = std::filesystem::path(dir) / "config.toml";
  std::error_code ignored;
  if (std::filesystem::exists(path, ignored))
    return LoadConfig(AllKeys(), path.string(), overrides);
  const auto checkpoints = FindCheckpoints(dir);
  if (!checkpoints.ok()) {
    return absl::NotFoundError(absl::StrCat(
        dir, " is not a run folder: it has no config.toml; give the [run] dir of a training"));
  }
  absl::Status status;
  for (const std::string& checkpoint : *checkpoints) {
    const auto reader = CheckpointReader::Open(checkpoint);
    if (!reader.ok()) {
      if (status.ok()) status = reader.status();
      continue;
    }
    const std::string file = absl::StrCat(checkpoint, "/", kManifestName);
    TL_ASSIGN_OR_RETURN(Config config,
                        ParseConfig(AllKeys(), (*reader)->manifest().config, file, overrides));
    config.checkpoint.dir = dir;
    return config;
  }
  return status;
}

}  // namespace tl
