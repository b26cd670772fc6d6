// SPDX-License-Identifier: Apache-2.0
#include "data/tokenize.h"

#include <cstdio>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/logging.h"
#include "base/status.h"
#include "cli/command.h"
#include "data/text_rules.h"

namespace tl {
namespace {

void PrintReport(const std::string& path, const TokenizeReport& r) {
  const double bytes_per_token =
      r.tokens > 0 ? static_cast<double>(r.text_bytes) / static_cast<double>(r.tokens) : 0.0;
  absl::PrintF(
      "%s: %d tokens of %s (vocabulary %d), %d document(s), %d bytes of text, %.3f bytes "
      "per token\n",
      path, r.tokens, r.tokenizer_name, r.vocab_size, r.documents, r.text_bytes, bytes_per_token);
}

// What stands between documents.
void PrintEnds(const TokenizeOptions& options, const TokenizeReport& r, int64_t documents) {
  if (!r.begin.empty()) absl::PrintF("each document begins with %s\n", r.begin);
  if (!r.end.empty()) absl::PrintF("each document ends with %s\n", r.end);
  if (r.end.empty() && options.end_token.empty() && options.tokenizer != kBytesName) {
    LogWarning(
        absl::StrCat(options.tokenizer,
                     ": neither the tokenizer nor the files beside it say which token ends a "
                     "document: none is appended",
                     documents > 1 ? ", and documents run into each other" : "",
                     "; --end-token NAME says which, --end-token none that there is none"));
  } else if (r.end.empty()) {
    absl::PrintF("documents end without a token\n");
  }
}

}  // namespace

absl::Status RunTokenize(const Args& args, Communicator& world) {
  TokenizeOptions options;
  Arguments arguments(
      "tokenize",
      "Makes a token file out of text files: 1, 2 or 4 bytes per token, an index of documents, the "
      "tokenizer's identity and checksums. The last part of the text may be held out for "
      "evaluation.",
      "  trunkline tokenize --tokenizer bytes --out data/train.tok --holdout 0.1 "
      "--holdout-out data/eval.tok book.txt\n"
      "  trunkline tokenize --tokenizer words.model --train-vocab 8000 --out book.tok book.txt\n"
      "  trunkline tokenize --tokenizer tokenizer.json --out web.tok --separator '<|endoftext|>' "
      "web-*.txt\n");
  arguments.PathPositional("TEXT", &options.texts, "Text files, read in order; each is a document")
      .PathOption("--tokenizer", &options.tokenizer,
                  "bytes, a SentencePiece .model, a tokenizer.json, or a folder with "
                  "one of them: of Hugging Face, of an import, of a run")
      .Option("--train-vocab", &options.train_vocab, 0,
              "First train a SentencePiece model of this many pieces on the texts, but for what "
              "is held out, and write it to --tokenizer")
      .PathOption("--out", &options.out, "The token file to write", Arguments::Need::kRequired)
      .Option("--holdout", &options.holdout, 0.0, "Part of the text that goes to --holdout-out")
      .PathOption("--holdout-out", &options.holdout_out, "The token file of the held-out text")
      .Option("--bpe-dropout", &options.bpe_dropout, 0.0,
              "Leave out each merge of a SentencePiece BPE model with this probability, so that "
              "training sees words in many pieces; the held-out text keeps its own")
      .Option("--seed", &options.seed, 0, "Of what is left out")
      .Option("--end-token", &options.end_token,
              "The token that ends each document, by its name, or none; without it, what the "
              "tokenizer's folder says")
      .Option("--begin-token", &options.begin_token,
              "The same of the token that begins each document")
      .Option("--separator", &options.separator,
              "Text that ends a document wherever it occurs; \\n, \\t, \\x1e and \\\\ as in C")
      .Words("--tokenizer", {kBytesName});
  TL_ASSIGN_OR_RETURN(const bool run, ParseOrShowHelp(arguments, args, world));
  // Files are written once, however many ranks were started.
  if (!run || world.rank() != 0) return absl::OkStatus();
  TL_ASSIGN_OR_RETURN(options.separator, Unescaped("--separator", options.separator));
  TokenizeReport report, holdout;
  TL_RETURN_IF_ERROR(TokenizeFiles(options, &report, &holdout));
  PrintReport(options.out, report);
  if (!options.holdout_out.empty()) PrintReport(options.holdout_out, holdout);
  if (!report.tokenizer_note.empty()) LogWarning(options.tokenizer + ": " + report.tokenizer_note);
  PrintEnds(options, report, report.documents + holdout.documents);
  if (!options.separator.empty() && report.separators + holdout.separators == 0)
    LogWarning("--separator '" + absl::Utf8SafeCHexEscape(options.separator) +
               "' occurs nowhere in the text: each file is one document");
  return absl::OkStatus();
}

}  // namespace tl
