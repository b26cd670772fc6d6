// SPDX-License-Identifier: Apache-2.0
// Tokens by the names that people and config files give them, e.g. "<|im_end|>".
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>

#include "data/tokenizer.h"

namespace tl {

class TokenNames {
 public:
  // definition: of a tokenizer, see there.
  explicit TokenNames(const std::string& definition);
  // Returns -1 where no token has this name.
  int32_t Find(const std::string& name) const;
  // Returns "" where this token has no name.
  std::string NameOf(int32_t id) const;

 private:
  std::unordered_map<std::string, int32_t> ids_;
};

// Names a token as the tokenizer's file does; empty: it has no name.
std::string TokenText(const Tokenizer& tokenizer, int32_t id);
// Names it for people to read, with its number.
std::string TokenName(const Tokenizer& tokenizer, int32_t id);

}  // namespace tl
