// SPDX-License-Identifier: Apache-2.0
// Token files: Trunkline's own, llm.c's .bin and Megatron's .bin with .idx.
//
// Own format, version 1, little-endian. A header of 128 bytes:
//    0  char[8] "TLTOKENS"       8  u32 version          12  u32 CRC32C of the header, this field 0
//   16  u64 size of the file    24  u64 tokens           32  u64 documents
//   40  u64 bytes of text       48  u64 vocabulary       56  u32 bytes per token: 1, 2 or 4
//   60  u32 tokenizer kind      64  u64 tokenizer hash   72  u64 bytes of tokenizer definition
//   80  u32 CRC32C of the tokens                         84  u32 CRC32C of all that follows them
//   88  i32 token that begins a document + 1             92  i32 token that ends one + 1
//       (of both: 0 not said, -1 none)                   96  zeros
// then the tokens, zeros up to a multiple of 8, u64 first token of each document (ascending, the
// first is 0), and the tokenizer's definition.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "base/temporary.h"
#include "data/steady_file.h"
#include "data/tokenizer.h"

namespace tl {

enum class TokenFormat : uint8_t { kOwn, kLlmC, kMegatron };

class TokenFile {
 public:
  // Recognises the format by its magic; for Megatron the path may be the .bin, the .idx or what
  // they have in common. Everything but the tokens themselves is checked here, in time linear in
  // the number of documents; every error names the file, what was expected and what was found.
  static absl::StatusOr<std::unique_ptr<TokenFile>> Open(const std::string& path);
  TokenFile(const TokenFile&) = delete;
  TokenFile& operator=(const TokenFile&) = delete;

  // Every call that reads fails where the file is no longer what it was: see SteadyFile.
  const std::string& path() const { return path_; }
  TokenFormat format() const { return format_; }
  int64_t token_count() const { return token_count_; }
  int64_t vocab_size() const { return vocab_size_; }  // 0: the format does not say
  int64_t text_bytes() const { return text_bytes_; }  // 0: the format does not say

  // Documents in order; a format without an index (llm.c) is one document. A document may be empty.
  int64_t document_count() const { return document_count_; }
  // Reads the first token of each of the documents [first, first + count), which are of
  // [0, document_count()]: the last of these starts at token_count().
  absl::Status DocumentStarts(int64_t first, int64_t count, int64_t* out) const;
  // Finds the last document that starts at or before token.
  absl::StatusOr<int64_t> DocumentOf(int64_t token) const;

  // Reads the tokens [begin, begin + count), which must lie inside the file. One that is >= vocab
  // (or negative) is an error that names the file, the place and the token.
  absl::Status ReadTokens(int64_t begin, int64_t count, int64_t vocab, int32_t* out) const;

  // The tokenizer that made the file; kNone for other people's formats.
  TokenizerKind tokenizer_kind() const { return tokenizer_kind_; }
  uint64_t tokenizer_hash() const { return tokenizer_hash_; }
  absl::StatusOr<std::unique_ptr<Tokenizer>> MakeTokenizer() const;

  // What every document begins and ends with; -1: nothing, nullopt: the file does not say.
  std::optional<int32_t> begin_token() const { return begin_token_; }
  std::optional<int32_t> end_token() const { return end_token_; }

  // Reads every token: the CRC of the own format, and that all are below the vocabulary where the
  // file gives one, or below `vocab` where that is not 0.
  absl::Status Verify(int64_t vocab = 0) const;

 private:
  static constexpr int64_t kStride = 512;  // documents

  TokenFile() = default;
  absl::Status OpenOwn();
  absl::Status OpenLlmC();
  absl::Status OpenMegatron();
  // Tokens as they are in the file.
  absl::Status ReadRaw(int64_t begin, int64_t count, uint8_t* out) const;

  std::string path_;
  TokenFormat format_ = TokenFormat::kOwn;
  std::unique_ptr<SteadyFile> data_, index_;  // index_: Megatron's .idx
  int64_t tokens_at_ = 0;                     // bytes into data_
  int width_ = 0;                             // bytes per token
  bool is_signed_ = false;
  int64_t token_count_ = 0;
  int64_t vocab_size_ = 0;
  int64_t text_bytes_ = 0;
  int64_t document_count_ = 0;
  int64_t document_starts_at_ = 0;     // own: u64 tokens, bytes into data_
  int64_t sequence_offsets_at_ = 0;    // Megatron: i64 bytes of each sequence, bytes into index_
  int64_t document_sequences_at_ = 0;  // Megatron: i64 first sequence of each document
  int64_t sequence_count_ = 0;
  std::vector<int64_t> some_starts_;  // of every kStride-th document
  uint32_t token_crc_ = 0;
  TokenizerKind tokenizer_kind_ = TokenizerKind::kNone;
  uint64_t tokenizer_hash_ = 0;
  std::string tokenizer_definition_;
  std::optional<int32_t> begin_token_, end_token_;
};

// Writes a file of the own format to a temporary beside it, that gets its name by Finish; without
// that it is removed. Memory: 8 bytes per document.
class TokenFileWriter {
 public:
  static absl::StatusOr<std::unique_ptr<TokenFileWriter>> Create(const std::string& path,
                                                                 const Tokenizer& tokenizer);
  // Takes tokens made elsewhere: no tokenizer, only the vocabulary, which sets the token's width.
  static absl::StatusOr<std::unique_ptr<TokenFileWriter>> Create(const std::string& path,
                                                                 int64_t vocab_size);
  ~TokenFileWriter();
  TokenFileWriter(const TokenFileWriter&) = delete;
  TokenFileWriter& operator=(const TokenFileWriter&) = delete;

  // Sets what the caller begins and ends every document with; -1: nothing.
  void SetEnds(int32_t begin, int32_t end);
  // Begins a document with the tokens appended next. Tokens before the first call are one too.
  void StartDocument();
  // text_bytes: the length of the text that these tokens stand for.
  absl::Status Append(absl::Span<const int32_t> tokens, int64_t text_bytes);
  // Writes what is left, so that of several files none gets its name before all are whole.
  absl::Status Complete();
  absl::Status Finish();  // completes it where it is not, and gives it its name

  int64_t token_count() const { return token_count_; }
  int64_t document_count() const { return static_cast<int64_t>(document_starts_.size()); }
  int64_t text_bytes() const { return text_bytes_; }

 private:
  TokenFileWriter(std::string path, Temporary temporary)
      : path_(std::move(path)), temporary_(std::move(temporary)) {}
  absl::Status Write(const void* data, size_t size);

  std::string path_;
  Temporary temporary_;
  std::FILE* file_ = nullptr;  // null: complete
  int width_ = 0;
  int64_t vocab_size_ = 0;
  int64_t token_count_ = 0;
  int64_t text_bytes_ = 0;
  std::vector<uint64_t> document_starts_;
  std::vector<uint8_t> buffer_;
  uint32_t token_crc_ = 0;
  TokenizerKind tokenizer_kind_ = TokenizerKind::kNone;
  uint64_t tokenizer_hash_ = 0;
  std::string tokenizer_definition_;
  std::optional<int32_t> begin_token_, end_token_;
};

}  // namespace tl
