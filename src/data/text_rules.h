// SPDX-License-Identifier: Apache-2.0
// What a model's folder says of its texts beyond the tokenizer: where they begin and end.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace tl {

struct TextRules {
  int32_t begin = -1;              // the token that begins a text; -1: none is named
  bool adds_begin = false;         // whether prompts and documents get it
  std::vector<int32_t> ends = {};  // tokens that end a text; the first one ends a document
  int32_t pad = -1;
  int32_t unknown = -1;
  int64_t context_length = 0;  // in tokens; 0: not said

  // The token that ends a document; -1: none.
  int32_t end() const { return ends.empty() ? -1 : ends[0]; }
  bool IsEnd(int32_t token) const;
  bool operator==(const TextRules&) const = default;
};

// The names that a run's own tokenizer may have: a file beside the rules, or none.
inline constexpr char kBytesName[] = "bytes";
inline constexpr char kTokenizerJson[] = "tokenizer.json";
inline constexpr char kTokenizerModel[] = "tokenizer.model";

// As JSON, with the name of the tokenizer that they are for.
std::string WriteTextRules(const TextRules& rules, const std::string& tokenizer);
// path is named in errors.
absl::StatusOr<TextRules> ParseTextRules(const std::string& text, const std::string& path,
                                         std::string* tokenizer);

}  // namespace tl
