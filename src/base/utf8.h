// UTF-8: no surrogates, nothing overlong, nothing above U+10FFFF.
#pragma once

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"

namespace tl {

// The length of the longest prefix of text that is UTF-8.
size_t ValidUtf8Prefix(absl::string_view text);

// How many bytes at the end of text, 0 to 3, begin a character that more bytes may complete.
size_t IncompleteUtf8Suffix(absl::string_view text);

// The beginning of a text for a message: at most so many bytes, and no part of a character.
std::string Shortened(absl::string_view text, size_t most);

// The text for a message of one line: control characters, and bytes that are no UTF-8, become
// escapes as in C.
std::string OneLine(absl::string_view text);

}  // namespace tl
