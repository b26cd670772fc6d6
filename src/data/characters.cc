// SPDX-License-Identifier: Apache-2.0
#include "data/characters.h"

#include <utf8proc.h>

#include <algorithm>

namespace tl::internal {

int32_t CharAt(absl::string_view text, size_t at) {
  utf8proc_int32_t c = -1;
  utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()) + at,
                   static_cast<utf8proc_ssize_t>(text.size() - at), &c);
  return c;
}

size_t CharBefore(absl::string_view text, size_t end) {
  do {
    --end;
  } while (end > 0 && IsContinuation(text[end]));
  return end;
}

void AppendChar(int32_t c, std::string* text) {
  utf8proc_uint8_t utf8[4];
  const auto n = static_cast<size_t>(utf8proc_encode_char(c, utf8));
  text->append(reinterpret_cast<const char*>(utf8), n);
}

bool IsWhiteSpace(int32_t c) {
  return (c >= 9 && c <= 13) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

bool IsAscii(absl::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c & 0x80) == 0; });
}

}  // namespace tl::internal
