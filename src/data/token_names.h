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
  // -1: no token has this name.
  int32_t Find(const std::string& name) const;
  // "": no name has this token.
  std::string NameOf(int32_t id) const;

 private:
  std::unordered_map<std::string, int32_t> ids_;
};

// The name of a token as the tokenizer's file has it; empty: it has none.
std::string TokenText(const Tokenizer& tokenizer, int32_t id);
// The same for people to read, with its number.
std::string TokenName(const Tokenizer& tokenizer, int32_t id);

}  // namespace tl
