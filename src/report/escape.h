// SPDX-License-Identifier: Apache-2.0
// Text of anybody, as HTML shows it.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace tl {

// Makes it text in an element or in a quoted attribute, whatever it holds. Control characters and
// bytes that are no UTF-8 are shown as escapes of C, as are those that turn the direction of text.
std::string Escaped(absl::string_view text);

}  // namespace tl
