// SPDX-License-Identifier: Apache-2.0
// The characters of a text, which must be UTF-8.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace tl::internal {

// What SentencePiece writes for a space.
inline constexpr char kSpaceSign[] = "\u2581";

// Counts the bytes of the character that begins with this byte.
inline size_t CharSize(char first) {
  const auto c = static_cast<unsigned char>(first);
  return c < 0x80 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
}
inline bool IsContinuation(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }
// Returns the character at byte `at` < text.size(), where one begins.
int32_t CharAt(absl::string_view text, size_t at);
// Returns the start of the character that ends before byte `end` > 0.
size_t CharBefore(absl::string_view text, size_t end);
void AppendChar(int32_t c, std::string* text);

// Unicode's White_Space.
bool IsWhiteSpace(int32_t c);
bool IsAscii(absl::string_view text);

}  // namespace tl::internal
