// SPDX-License-Identifier: Apache-2.0
// Text to token ids and back.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace tl {

// The values are stored in token files. kBpe is any tokenizer.json.
enum class TokenizerKind : uint32_t { kNone = 0, kBytes = 1, kSentencePiece = 2, kBpe = 3 };

const char* TokenizerKindName(TokenizerKind kind);  // "bytes", "sentencepiece", ...

// Immutable once made; every method may be called from several threads at once.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  virtual TokenizerKind kind() const = 0;
  // Ids are in [0, vocab_size()).
  virtual int64_t vocab_size() const = 0;
  // The token that ends a document, or -1 where the tokenizer has none.
  virtual int32_t end_id() const = 0;
  // Returns what LoadTokenizer(kind(), ...) makes this tokenizer from again: the model file as it
  // was read; empty for bytes.
  virtual const std::string& definition() const = 0;

  // Appends the ids of text. No token is added before or after it. Text that is not UTF-8 is an
  // error for all but bytes; the message has the byte offset.
  virtual absl::Status Encode(absl::string_view text, std::vector<int32_t>* ids) const = 0;

  // Encodes with BPE-dropout (Provilkov et al. 2020): each merge is left out with this
  // probability, 0 to 1, so that a text comes in many pieces. The draws are a function of the seed
  // and the text alone. An error for tokenizers without merges to leave out.
  virtual absl::Status EncodeWithDropout(absl::string_view text, double dropout, uint64_t seed,
                                         std::vector<int32_t>* ids) const;

  // Makes text of the ids, which may end inside a UTF-8 character. Ids outside the vocabulary (a
  // model's may be padded) add nothing.
  virtual std::string Decode(absl::Span<const int32_t> ids) const = 0;

  // Returns what a token stands for inside a text, maybe part of a UTF-8 character: a text is that
  // of its tokens, one after the other, but for a space that SentencePiece models may put before
  // the first. Empty for ids outside the vocabulary.
  virtual std::string TokenBytes(int32_t id) const { return Decode({&id, 1}); }

  // What a user should know of it, e.g. that its vocabulary lacks some bytes; empty mostly.
  virtual std::string note() const { return ""; }

  // Finds a large p such that Encode(text + more) == Encode(text[:p]) + Encode(text[p:] +
  // more) whatever comes after text; 0 where it finds none. Lets big files be encoded in pieces.
  virtual size_t CutPoint(absl::string_view text) const = 0;

  // 64-bit FNV-1a of the kind and the definition: equal means the same tokenizer.
  uint64_t hash() const;
  // E.g. "bytes" or "bpe-1f0e…": the kind, and the hash where there is a definition.
  std::string name() const;
};

// Makes one of 256 tokens, one for each byte.
std::unique_ptr<Tokenizer> MakeByteTokenizer();
// Takes the bytes of a SentencePiece .model file.
absl::StatusOr<std::unique_ptr<Tokenizer>> MakeSentencePieceTokenizer(std::string model);
// Takes the bytes of a tokenizer.json: byte-level BPE as GPT-2, Llama 3 and Qwen ship it; BPE and
// Unigram over characters, as SentencePiece's models become. Anything in it that this cannot
// reproduce to the token is refused by name, but for what works on whole texts only: truncation,
// padding and post_processor (tokens added at the ends) do not apply.
absl::StatusOr<std::unique_ptr<Tokenizer>> MakeJsonTokenizer(std::string json);

// As stored in a token file; kNone is an error.
absl::StatusOr<std::unique_ptr<Tokenizer>> LoadTokenizer(TokenizerKind kind,
                                                         std::string definition);
// Loads "bytes", a tokenizer.json, a SentencePiece model, or a folder that holds tokenizer.json or
// tokenizer.model; of both the first, unless it is the second in another form. What a file is, is
// told from its contents.
absl::StatusOr<std::unique_ptr<Tokenizer>> LoadTokenizer(const std::string& name_or_path);

inline constexpr int64_t kMostTrainingText = int64_t{256} << 20;
// Trains a SentencePiece BPE model with byte fallback on the lines that begin in the first
// most_bytes of the text files, one after the other, and writes it to out. Text comes back from its
// ids as it was, but for U+2581, which is SentencePiece's own sign for a space: spaces are kept,
// nothing is normalised, and a line end is a token of its own.
absl::Status TrainSentencePiece(const std::vector<std::string>& texts, int64_t vocab_size,
                                const std::string& out, int64_t most_bytes = kMostTrainingText);

}  // namespace tl
