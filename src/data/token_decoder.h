// SPDX-License-Identifier: Apache-2.0
// The decoder of a tokenizer.json: the text of a row of tokens.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "data/json_parts.h"
#include "data/pattern_replacer.h"

namespace tl::internal {

class TokenDecoder {
 public:
  // part: an object with a type. Types: ByteLevel alone, or ByteFallback, Fuse, Metaspace, Replace,
  // Strip and Sequences of these; others are refused by name.
  static absl::StatusOr<TokenDecoder> Make(const Json& part);

  // Makes text of tokens as tokenizers does. For ByteLevel it is their bytes, which may end inside
  // a character; bytes of ByteFallback that are no UTF-8 become U+FFFD.
  std::string Decode(std::vector<std::string> tokens) const;

  // Returns what a token stands for inside a text, without what is done to all of it or its start.
  std::string DecodeOne(const std::string& token) const;

 private:
  struct Step {
    enum class Kind { kByteLevel, kByteFallback, kFuse, kMetaspace, kReplace, kStrip };
    Kind kind = Kind::kFuse;
    std::string character;       // of kMetaspace and kStrip
    bool strips_first = false;   // kMetaspace: its signs in the first token become nothing
    size_t start = 0, stop = 0;  // kStrip: how many at either end at most
    std::vector<PatternReplacer> replacer;  // one, of kReplace
  };

  absl::Status Add(const Json& part, bool alone);
  static absl::Status MakeMetaspace(const Json& part, Step* step);
  static absl::Status MakeStrip(const Json& part, Step* step);
  static std::string ApplyToOne(const Step& step, const std::string& token, bool first);
  static std::vector<std::string> FallBack(std::vector<std::string> tokens);

  std::vector<Step> steps_;
};

}  // namespace tl::internal
