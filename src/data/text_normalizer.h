// SPDX-License-Identifier: Apache-2.0
// The normalizers of a tokenizer.json: what is done to a text before it is cut into words.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "data/json_parts.h"

namespace tl::internal {

// One step: the text that it makes of a text, which is UTF-8.
class NormalizerStep {
 public:
  virtual ~NormalizerStep() = default;
  virtual absl::Status Apply(absl::string_view text, std::string* out) const = 0;
  // Tells whether ASCII text stays as it is.
  virtual bool KeepsAscii() const { return false; }
  // Tells whether any text may be cut before a space and behind a line end, and both parts
  // normalised by themselves.
  virtual bool CutsAtBlanks() const { return true; }
  // Counts the first bytes of made, which is what Apply makes of text, that come from the first
  // `count` of text, which are whole characters.
  virtual absl::StatusOr<size_t> ComeFromFirst(size_t count, absl::string_view text,
                                               absl::string_view made) const;
};

class TextNormalizer {
 public:
  // part: null, or an object with a type. Types: Sequence, NFC, NFD, NFKC, NFKD, Lowercase, Nmt,
  // Strip, StripAccents, Prepend, Replace and Precompiled; others are refused by name.
  static absl::StatusOr<TextNormalizer> Make(const Json& part);

  // Returns the text, or what storage now holds of it. first, where given: how many of its first
  // bytes come from the first character of text, as tokenizers sees it.
  absl::StatusOr<absl::string_view> Apply(absl::string_view text, std::string* storage,
                                          size_t* first = nullptr) const;

  bool empty() const { return steps_.empty(); }
  bool CutsAtBlanks() const;

 private:
  absl::Status Add(const Json& part);
  std::vector<std::unique_ptr<NormalizerStep>> steps_;
  bool keeps_ascii_ = true;
};

}  // namespace tl::internal
