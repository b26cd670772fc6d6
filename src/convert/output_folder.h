// SPDX-License-Identifier: Apache-2.0
// A folder that appears whole or not at all.
#pragma once

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/temporary.h"

namespace tl {

class OutputFolder {
 public:
  // path must not exist, or be an empty folder: see CheckNewFolder. Files go to a temporary folder
  // beside it, gone again unless it is committed.
  static absl::StatusOr<OutputFolder> Create(const std::string& path);

  const std::string& path() const { return temporary_.path(); }
  std::string At(const std::string& name) const { return temporary_.path() + "/" + name; }
  absl::Status WriteText(const std::string& name, const std::string& text) const;
  // Synchronises the files and renames the folder into place.
  absl::Status Commit();

 private:
  explicit OutputFolder(Temporary temporary) : temporary_(std::move(temporary)) {}
  Temporary temporary_;
};

}  // namespace tl
