// SPDX-License-Identifier: Apache-2.0
#include <cerrno>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "base/status.h"
#include "base/utf8.h"
#include "data/sentencepiece_bridge.h"
#include "data/sentencepiece_proto.h"
#include "data/tokenizer.h"

namespace tl {
namespace {

class SentencePieceTokenizer : public Tokenizer {
 public:
  absl::Status Load(std::string model) {
    definition_ = std::move(model);
    if (const std::string error = model_.Load(definition_); !error.empty()) {
      return absl::InvalidArgumentError(absl::StrCat("not a SentencePiece model: ", error));
    }
    lines_apart_ = LinesApart();
    return absl::OkStatus();
  }

  TokenizerKind kind() const override { return TokenizerKind::kSentencePiece; }
  int64_t vocab_size() const override { return model_.size(); }
  int32_t end_id() const override { return model_.eos_id(); }
  const std::string& definition() const override { return definition_; }

  absl::Status Encode(absl::string_view text, std::vector<int32_t>* ids) const override {
    TL_RETURN_IF_ERROR(CheckUtf8(text));
    std::vector<int> pieces;
    return Append(model_.Encode({text.data(), text.size()}, &pieces), pieces, ids);
  }

  absl::Status EncodeWithDropout(absl::string_view text, double dropout, uint64_t seed,
                                 std::vector<int32_t>* ids) const override {
    TL_ASSIGN_OR_RETURN(const SentencePieceProto proto, ParseSentencePieceProto(definition_));
    if (!proto.bpe) {
      return absl::InvalidArgumentError(
          absl::StrCat("bpe-dropout: expected a BPE model, found ", name(),
                       ", which is one of words, characters or unigrams"));
    }
    TL_RETURN_IF_ERROR(CheckUtf8(text));
    std::vector<int> pieces;
    return Append(model_.EncodeWithDropout({text.data(), text.size()}, dropout, seed, &pieces),
                  pieces, ids);
  }

  std::string Decode(absl::Span<const int32_t> ids) const override {
    std::vector<int> known;
    for (int32_t id : ids) {
      if (id >= 0 && id < model_.size()) known.push_back(id);
    }
    std::string text;
    return model_.Decode(known, &text).empty() ? text : "";
  }

  std::string TokenBytes(int32_t id) const override {
    return id >= 0 && id < model_.size() ? model_.PieceBytes(id) : "";
  }

  size_t CutPoint(absl::string_view text) const override {
    if (!lines_apart_) return 0;
    const size_t at = text.rfind('\n');
    return at == absl::string_view::npos ? 0 : at + 1;
  }

 private:
  // SentencePiece would put U+FFFD in the place of what is none without a word.
  static absl::Status CheckUtf8(absl::string_view text) {
    const size_t n = ValidUtf8Prefix(text);
    if (n == text.size()) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat("not UTF-8 at byte ", n));
  }
  // What the library made, or its error message.
  static absl::Status Append(const std::string& error, const std::vector<int>& pieces,
                             std::vector<int32_t>* ids) {
    if (!error.empty()) return absl::InternalError(error);
    ids->insert(ids->end(), pieces.begin(), pieces.end());
    return absl::OkStatus();
  }

  // Tells whether lines, each with its line end, are encoded independently of each other: no piece
  // holds a line end beside other characters, and no blank is added or taken away at a text's edges
  // (which the library does not tell, hence the trials).
  bool LinesApart() const {
    for (int id = 0; id < model_.size(); ++id) {
      const std::string piece = model_.PieceText(id);
      if (piece.size() > 1 && piece.find('\n') != std::string::npos) return false;
    }
    const char* const trials[][2] = {
        {"a\n", "b"}, {" a \n", "  b "}, {"\n", "\n"}, {"a\n\n", " b\n"}, {"a \r\n", "\tb"}};
    for (const auto& [head, tail] : trials) {
      std::vector<int32_t> whole, parts;
      if (!Encode(absl::StrCat(head, tail), &whole).ok() || !Encode(head, &parts).ok() ||
          !Encode(tail, &parts).ok() || whole != parts) {
        return false;
      }
    }
    return true;
  }

  internal::SentencePieceModel model_;
  std::string definition_;
  bool lines_apart_ = false;
};

// The line, or parts of it that are short enough: cut before a blank, where there is none before a
// character. The line is UTF-8.
void AddLines(std::string line, std::vector<std::string>* lines) {
  constexpr size_t kMost = internal::SentencePieceModel::kLongestLine;
  size_t begin = 0;
  while (line.size() - begin > kMost) {
    size_t end = line.rfind(' ', begin + kMost);
    if (end == std::string::npos || end <= begin) {
      end = begin + kMost;
      while ((static_cast<unsigned char>(line[end]) & 0xC0) == 0x80) --end;
    }
    lines->push_back(line.substr(begin, end - begin));
    begin = end;
  }
  if (begin > 0) line.erase(0, begin);
  if (!line.empty()) lines->push_back(std::move(line));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Tokenizer>> MakeSentencePieceTokenizer(std::string model) {
  auto tokenizer = std::make_unique<SentencePieceTokenizer>();
  TL_RETURN_IF_ERROR(tokenizer->Load(std::move(model)));
  return tokenizer;
}

absl::Status TrainSentencePiece(const std::vector<std::string>& texts, int64_t vocab_size,
                                const std::string& out, int64_t most_bytes) {
  std::vector<std::string> lines;
  int64_t bytes = 0;
  for (const std::string& path : texts) {
    std::ifstream file(path, std::ios::binary);
    if (!file) return absl::ErrnoToStatus(errno, absl::StrCat(path, ": cannot open"));
    size_t offset = 0;
    for (std::string line; bytes < most_bytes && std::getline(file, line);) {
      if (const size_t n = ValidUtf8Prefix(line); n != line.size()) {
        return absl::InvalidArgumentError(absl::StrCat(path, ": not UTF-8 at byte ", offset + n));
      }
      const size_t read = line.size() + (file.eof() ? 0 : 1);  // with its line end
      bytes += static_cast<int64_t>(read);
      offset += read;
      AddLines(std::move(line), &lines);
    }
    if (file.bad()) return absl::ErrnoToStatus(errno, absl::StrCat(path, ": cannot read"));
  }
  if (lines.empty()) return absl::InvalidArgumentError("no text to train a tokenizer on");
  std::string model;
  const std::string error = internal::SentencePieceModel::Train(lines, vocab_size, &model);
  if (!error.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot train a SentencePiece model of ", vocab_size, " pieces: ", error));
  }
  return ReplaceFile(out, model);
}

}  // namespace tl
