// SPDX-License-Identifier: Apache-2.0
// The model of a tokenizer.json: words to ids.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "data/json_parts.h"

namespace tl::internal {

// Immutable; usable from several threads at once.
class TokenModel {
 public:
  virtual ~TokenModel() = default;

  // Appends the ids of a word, which is UTF-8 unless the model is one of bytes, and not empty.
  virtual absl::Status Encode(absl::string_view word, std::vector<int32_t>* ids) const = 0;

  // Tells whether a word may be cut between these two characters, whatever else is in it, and both
  // parts encoded by themselves.
  virtual bool Apart(int32_t left, int32_t right) const = 0;
  // Tells the same before each U+2581 behind another character.
  virtual bool WordsApart() const { return false; }

  // What the tokens are called, by id; empty for ids that none has.
  const std::vector<std::string>& tokens() const { return tokens_; }
  // Returns the id of the token of this name, -1 where there is none.
  virtual int32_t Find(absl::string_view token) const = 0;
  // What a user should know, e.g. that some bytes have no token; empty mostly.
  const std::string& note() const { return note_; }

 protected:
  std::vector<std::string> tokens_;
  std::string note_;
};

// model: an object with "type" BPE or Unigram; others are refused by name. bytes: words are bytes,
// for which the vocabulary has stand-ins.
absl::StatusOr<std::unique_ptr<TokenModel>> MakeTokenModel(const Json& model, bool bytes);
absl::StatusOr<std::unique_ptr<TokenModel>> MakeBpeModel(const Json& model, bool bytes);
absl::StatusOr<std::unique_ptr<TokenModel>> MakeUnigramModel(const Json& model);

// Tells whether an entry of model.merges is no merge but a line as "#version: 0.2", which older
// files begin with.
bool IsMergesVersion(const Json& merge);

// Names the token of a byte that is fallen back to, "<0x0A>" for 10; finds the byte of a token as
// decoders read them, -1 where it is none.
std::string ByteTokenName(int byte);
int ByteOfToken(absl::string_view token);

}  // namespace tl::internal
