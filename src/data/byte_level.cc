// SPDX-License-Identifier: Apache-2.0
#include "data/byte_level.h"

#include "data/characters.h"

namespace tl::internal {

const std::array<int32_t, 256>& StandIns() {
  static const std::array<int32_t, 256> chars = [] {
    std::array<int32_t, 256> table = {};
    int32_t next = 256;
    for (int b = 0; b < 256; ++b) {
      const bool printable = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
      table[b] = printable ? b : next++;
    }
    return table;
  }();
  return chars;
}

bool FromStandIns(absl::string_view text, std::string* bytes) {
  static const std::array<int16_t, 512> byte_of = [] {
    std::array<int16_t, 512> table;
    table.fill(-1);
    for (int b = 0; b < 256; ++b) table[StandIns()[b]] = static_cast<int16_t>(b);
    return table;
  }();
  bytes->clear();
  for (size_t i = 0; i < text.size(); i += CharSize(text[i])) {
    const int32_t c = CharAt(text, i);
    if (c < 0 || c >= 512 || byte_of[c] < 0) return false;
    bytes->push_back(static_cast<char>(byte_of[c]));
  }
  return true;
}

}  // namespace tl::internal
