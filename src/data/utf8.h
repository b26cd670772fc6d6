#pragma once

#include <cstddef>

#include "absl/strings/string_view.h"

namespace tl::internal {

// The length of the longest prefix of text that is UTF-8 (no surrogates, nothing overlong, nothing
// above U+10FFFF).
size_t ValidUtf8Prefix(absl::string_view text);

}  // namespace tl::internal
