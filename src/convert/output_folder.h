// A folder that appears whole or not at all.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tl {

class OutputFolder {
 public:
  // path must not exist, or be an empty folder. Files go to a temporary folder beside it.
  static absl::StatusOr<OutputFolder> Create(const std::string& path);
  OutputFolder(OutputFolder&& other) noexcept;
  OutputFolder& operator=(OutputFolder&&) = delete;
  ~OutputFolder();  // removes what was not committed

  const std::string& path() const { return temporary_; }
  std::string At(const std::string& name) const { return temporary_ + "/" + name; }
  absl::Status WriteText(const std::string& name, const std::string& text) const;
  // Synchronises the files and renames the folder into place.
  absl::Status Commit();

 private:
  OutputFolder() = default;
  std::string final_, temporary_;
};

}  // namespace tl
