// SPDX-License-Identifier: Apache-2.0
// Git LFS leaves small texts in the place of big files until they are fetched.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace tl {

inline constexpr absl::string_view kLfsPointer = "version https://git-lfs.github.com/spec/";

// Refuses a file that begins like that. path is named.
inline absl::Status CheckNotLfsPointer(absl::string_view begin, const std::string& path) {
  if (!absl::StartsWith(begin, kLfsPointer)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      path,
      ": a pointer of Git LFS, not the file itself: `git lfs pull` in its folder fetches it"));
}

}  // namespace tl
