// SPDX-License-Identifier: Apache-2.0
#include "base/utf8.h"

#include <cstdint>
#include <cstring>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace tl {
namespace {

struct Character {
  size_t there = 0;   // bytes that are, or may become, one character
  size_t length = 0;  // of the whole; 0: never one
};

// The character that text, which is not empty, begins with.
Character First(absl::string_view text) {
  const auto* p = reinterpret_cast<const unsigned char*>(text.data());
  const unsigned char c = p[0];
  if (c < 0x80) return {1, 1};
  // The first byte sets the length and the range of the second; the rest are 80..BF.
  size_t length;
  unsigned char low = 0x80, high = 0xBF;
  if (c >= 0xC2 && c <= 0xDF) {
    length = 2;
  } else if (c >= 0xE0 && c <= 0xEF) {
    length = 3;
    if (c == 0xE0) low = 0xA0;
    if (c == 0xED) high = 0x9F;
  } else if (c >= 0xF0 && c <= 0xF4) {
    length = 4;
    if (c == 0xF0) low = 0x90;
    if (c == 0xF4) high = 0x8F;
  } else {
    return {};
  }
  size_t there = 1;
  for (; there < length && there < text.size(); ++there) {
    if (p[there] < low || p[there] > high) return {};
    low = 0x80;
    high = 0xBF;
  }
  return {there, length};
}

}  // namespace

size_t ValidUtf8Prefix(absl::string_view text) {
  const char* p = text.data();
  const size_t n = text.size();
  size_t i = 0;
  while (i < n) {
    uint64_t eight;
    if (n - i >= 8 && (std::memcpy(&eight, p + i, 8), (eight & 0x8080808080808080u) == 0)) {
      i += 8;
      continue;
    }
    const Character c = First(text.substr(i));
    if (c.length == 0 || c.there < c.length) return i;
    i += c.length;
  }
  return n;
}

size_t IncompleteUtf8Suffix(absl::string_view text) {
  for (size_t k = 1; k <= 3 && k <= text.size(); ++k) {
    const absl::string_view end = text.substr(text.size() - k);
    if ((static_cast<unsigned char>(end[0]) & 0xC0) == 0x80) continue;  // within a character
    const Character c = First(end);
    return c.there == k && c.there < c.length ? k : 0;
  }
  return 0;
}

std::string Shortened(absl::string_view text, size_t most) {
  if (text.size() > most) {
    text = text.substr(0, most);
    text.remove_suffix(IncompleteUtf8Suffix(text));
  }
  return std::string(text);
}

std::string OneLine(absl::string_view text) {
  std::string out;
  while (!text.empty()) {
    const Character c = First(text);
    const bool whole = c.length > 0 && c.there == c.length;
    const auto byte = static_cast<unsigned char>(text[0]);
    const size_t length = whole ? c.length : 1;
    if (whole && byte >= 0x20 && byte != 0x7F) {
      absl::StrAppend(&out, text.substr(0, length));
    } else {
      absl::StrAppend(&out, absl::CHexEscape(text.substr(0, length)));
    }
    text.remove_prefix(length);
  }
  return out;
}

}  // namespace tl
