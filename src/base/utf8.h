// SPDX-License-Identifier: Apache-2.0
// UTF-8: no surrogates, nothing overlong, nothing above U+10FFFF.
#pragma once

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"

namespace tl {

// Returns the length of the longest prefix of text that is UTF-8.
size_t ValidUtf8Prefix(absl::string_view text);

// Counts the bytes at the end of text, 0 to 3, of a character that more bytes may complete.
size_t IncompleteUtf8Suffix(absl::string_view text);

// Cuts a text for a message: to at most so many bytes, and at a character.
std::string Shortened(absl::string_view text, size_t most);

// Fits a text into a message of one line: control characters, and bytes that are no UTF-8, become
// escapes as in C.
std::string OneLine(absl::string_view text);

}  // namespace tl
