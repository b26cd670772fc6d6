// SPDX-License-Identifier: Apache-2.0
#include "data/charsmap.h"

#include <utf8proc.h>

#include <cstring>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/utf8.h"
#include "data/characters.h"

namespace tl::internal {
namespace {

// A unit of Darts-clone's double array.
bool HasLeaf(uint32_t unit) { return (unit >> 8 & 1) != 0; }
uint32_t Value(uint32_t unit) { return unit & 0x7fffffffu; }
uint32_t Label(uint32_t unit) { return unit & 0x800000ffu; }
uint32_t Offset(uint32_t unit) { return unit >> 10 << ((unit & 1u << 9) >> 6); }

// The end of the grapheme that begins at byte `at`.
size_t GraphemeEnd(absl::string_view text, size_t at) {
  utf8proc_int32_t state = 0;
  for (int32_t last = CharAt(text, at);;) {
    at += CharSize(text[at]);
    if (at == text.size()) return at;
    const int32_t next = CharAt(text, at);
    if (utf8proc_grapheme_break_stateful(last, next, &state)) return at;
    last = next;
  }
}

}  // namespace

absl::StatusOr<Charsmap> Charsmap::Make(absl::string_view base64) {
  const auto bad = [](absl::string_view what) {
    return absl::InvalidArgumentError(
        absl::StrCat("normalizer Precompiled.precompiled_charsmap: ", what));
  };
  std::string bytes;
  if (!absl::Base64Unescape(base64, &bytes)) return bad("expected base64, found something else");
  uint32_t size = 0;
  if (bytes.size() < sizeof(size)) return bad("expected a trie and its strings, found nothing");
  std::memcpy(&size, bytes.data(), sizeof(size));  // little-endian, as this machine
  size = size / sizeof(uint32_t) * sizeof(uint32_t);
  if (size > bytes.size() - sizeof(size) || size == 0) {
    return bad(
        absl::StrCat("expected a trie of ", size, " bytes, found ", bytes.size() - sizeof(size)));
  }
  Charsmap map;
  map.units_.resize(size / sizeof(uint32_t));
  std::memcpy(map.units_.data(), bytes.data() + sizeof(size), size);
  map.replacements_ = bytes.substr(sizeof(size) + size);
  if (ValidUtf8Prefix(map.replacements_) != map.replacements_.size())
    return bad("expected strings in UTF-8, found something else");
  return map;
}

bool Charsmap::Find(absl::string_view text, absl::string_view* replacement) const {
  size_t at = Offset(units_[0]);
  for (char c : text) {
    const uint32_t byte = static_cast<unsigned char>(c);
    at ^= byte;
    if (byte == 0 || at >= units_.size() || Label(units_[at]) != byte) return false;
    const bool leaf = HasLeaf(units_[at]);
    at ^= Offset(units_[at]);
    if (!leaf) continue;
    if (at >= units_.size()) return false;
    const size_t begin = Value(units_[at]);
    if (begin >= replacements_.size() || IsContinuation(replacements_[begin])) return false;
    *replacement = absl::string_view(replacements_).substr(begin);
    *replacement = replacement->substr(0, replacement->find('\0'));
    return true;
  }
  return false;
}

void Charsmap::Apply(absl::string_view text, std::string* out) const {
  absl::string_view replacement;
  for (size_t i = 0; i < text.size();) {
    const size_t end = GraphemeEnd(text, i);
    if (end - i < 6 && Find(text.substr(i, end - i), &replacement)) {
      absl::StrAppend(out, replacement);
      i = end;
      continue;
    }
    while (i < end) {
      const absl::string_view c = text.substr(i, CharSize(text[i]));
      absl::StrAppend(out, Find(c, &replacement) ? replacement : c);
      i += c.size();
    }
  }
}

}  // namespace tl::internal
