// SPDX-License-Identifier: Apache-2.0
// What a SentencePiece .model file holds, for writing it in other formats. Encoding and decoding
// stay with the library.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace tl {

struct SentencePieceProto {
  // The values are the format's, and llama.cpp's token types.
  enum class Type : uint32_t {
    kNormal = 1,
    kUnknown = 2,
    kControl = 3,
    kUserDefined = 4,
    kUnused = 5,
    kByte = 6,
  };
  struct Piece {
    std::string text;
    float score = 0.0f;
    Type type = Type::kNormal;
  };
  std::vector<Piece> pieces;
  bool bpe = false;  // else unigram, word or char
  bool byte_fallback = false;
  bool identity = true;  // text is not normalised
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = true;
  bool escape_whitespaces = true;
};

// Parses a .model file, a protocol buffer (sentencepiece_model.proto).
absl::StatusOr<SentencePieceProto> ParseSentencePieceProto(const std::string& bytes);

}  // namespace tl
