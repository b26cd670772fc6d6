// SPDX-License-Identifier: Apache-2.0
// Colours for the lines of a training on a terminal: what changes stands out.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace tl {

// Returns a line of Progress with its labels faint, its losses bold and what went wrong in red or
// yellow. Without the escapes it is the same line.
std::string Coloured(absl::string_view line);

}  // namespace tl
