// SPDX-License-Identifier: Apache-2.0
// Paths as people write them, in config files and on command lines.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace tl {

// Expands ~ and ~/x, as a shell does, to the folder that $HOME names; a shell leaves them alone in
// run.dir=~/x. Refuses ~name/x, which a shell reads as another user's,
// and control characters, which would break lines of messages and of files. Errors are
// "expected ...; found ...", for the caller to put a key or an option in front.
absl::StatusOr<std::string> UserPath(absl::string_view text);

// Writes ~ for $HOME where the path lies there. Two hosts may give one home other names; a path
// below it is still the same one.
std::string WithTildeForHome(absl::string_view path);

// Refuses a path that cannot be written into TOML or JSON and read back: one that is not UTF-8.
absl::Status CheckUtf8Path(absl::string_view path);

}  // namespace tl
