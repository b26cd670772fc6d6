// SPDX-License-Identifier: Apache-2.0
// Text files to token files: the work of `trunkline tokenize`.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace tl {

struct TokenizeOptions {
  std::string tokenizer = "bytes";  // or a file or folder, see ReadModelText
  // Above 0: first a SentencePiece model of so many pieces is trained on the text that is not held
  // out (see TrainSentencePiece; of big ones, on the first 256 MB), and written to `tokenizer`.
  int64_t train_vocab = 0;
  std::vector<std::string> texts = {};  // the files to read, in order
  std::string out = {};
  // The last part of the text, by bytes and cut after a line, goes to holdout_out instead. 0: none;
  // else both must be given, 0 < holdout < 1.
  double holdout = 0.0;
  std::string holdout_out = {};
  // Each file is a document; where this is not empty it also ends one wherever it occurs, and is
  // not part of the text, e.g. "<|endoftext|>". Documents of nothing are dropped.
  std::string separator = {};
  // Above 0: what is not held out comes in pieces drawn with BPE-dropout, see
  // Tokenizer::EncodeWithDropout, by the seed and the place in the text.
  double bpe_dropout = 0.0;
  int64_t seed = 1;
  // The tokens that each document begins and ends with: a name, "none", or empty for what the
  // tokenizer's folder says.
  std::string begin_token = {}, end_token = {};
};

// What a token file received.
struct TokenizeReport {
  int64_t tokens = 0;
  int64_t documents = 0;
  int64_t text_bytes = 0;
  int64_t separators = 0;  // found in the text
  int64_t vocab_size = 0;
  std::string tokenizer_name;
  std::string tokenizer_note;  // see Tokenizer::note()
  std::string begin, end;      // what documents begin and end with, for people; empty: nothing
};

// Reads with bounded memory, whatever the size of the files, as long as the text has places where
// the tokenizer allows a cut, as all ordinary text has. report and holdout_report may be null.
absl::Status TokenizeFiles(const TokenizeOptions& options, TokenizeReport* report = nullptr,
                           TokenizeReport* holdout_report = nullptr);

}  // namespace tl
