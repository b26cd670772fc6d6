// SPDX-License-Identifier: Apache-2.0
// SentencePiece's precompiled_charsmap: rules of normalising as a double-array trie of what is
// replaced, and what stands for it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace tl::internal {

class Charsmap {
 public:
  // base64: as a tokenizer.json has it.
  static absl::StatusOr<Charsmap> Make(absl::string_view base64);

  // Appends text with its rules carried out, as tokenizers does: a grapheme of less than six bytes
  // is replaced whole by the rule of its shortest prefix that has one, else character by character.
  void Apply(absl::string_view text, std::string* out) const;

 private:
  // Finds what stands for text by the rule of its shortest prefix; false where it has none.
  bool Find(absl::string_view text, absl::string_view* replacement) const;

  std::vector<uint32_t> units_;
  std::string replacements_;  // each ends in a zero byte
};

}  // namespace tl::internal
