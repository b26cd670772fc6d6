// SPDX-License-Identifier: Apache-2.0
// SentencePiece in standard types only: its headers put std::string_view into namespace absl, where
// Debian's Abseil has a class of that name, so no file can include both.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace tl::internal {

class SentencePieceModel {
 public:
  SentencePieceModel();
  ~SentencePieceModel();

  // Each returns an error message, empty on success.
  std::string Load(const std::string& serialized);
  std::string Encode(std::string_view text, std::vector<int>* ids) const;
  // As Encode, but that each merge is left out with this probability. The draws are a function of
  // the seed and the text alone.
  std::string EncodeWithDropout(std::string_view text, double dropout, uint64_t seed,
                                std::vector<int>* ids) const;
  std::string Decode(const std::vector<int>& ids, std::string* text) const;

  int size() const;
  int eos_id() const;
  // Returns the piece's own text, "" for control, unknown and byte pieces.
  std::string PieceText(int id) const;
  // Returns what it stands for inside a text: PieceText with spaces for U+2581, the byte of a byte
  // piece, what the model shows for an unknown one.
  std::string PieceBytes(int id) const;

  // What the trainer takes: longer lines it would leave out, and longer words end the program.
  static constexpr size_t kLongestLine = 4096;
  // Trains on lines of at most kLongestLine bytes; the serialized model, or an error message.
  static std::string Train(const std::vector<std::string>& lines, int64_t vocab_size,
                           std::string* serialized);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tl::internal
