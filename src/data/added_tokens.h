// SPDX-License-Identifier: Apache-2.0
// The added tokens of a tokenizer.json, e.g. <|endoftext|>: found in text before anything else.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "data/byte_trie.h"

namespace tl::internal {

struct AddedToken {
  std::string content;
  int32_t id = 0;
  bool single_word = false;  // only where no letter, digit or underscore is beside it
  bool left_strip = false;   // takes the blanks before it along
  bool right_strip = false;  // and those after it
};

class AddedTokens {
 public:
  // Empty contents are left out.
  explicit AddedTokens(std::vector<AddedToken> tokens);
  AddedTokens() = default;

  struct Segment {
    absl::string_view text;
    int32_t id;  // -1: text between added tokens
  };
  // Cuts UTF-8 text at the added tokens in it, leftmost first and the longest of those. Appends.
  void Split(absl::string_view text, std::vector<Segment>* segments) const;

  size_t longest() const { return longest_; }  // bytes; 0 when there are none
  // Whether what is beside a token matters: blanks or parts of words.
  bool looks_around() const { return looks_around_; }
  bool empty() const { return tokens_.empty(); }

 private:
  std::vector<AddedToken> tokens_;
  ByteTrie trie_;  // of their contents, to places in tokens_
  size_t longest_ = 0;
  bool looks_around_ = false;
};

}  // namespace tl::internal
