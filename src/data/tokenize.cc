// SPDX-License-Identifier: Apache-2.0
#include "data/tokenize.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <numeric>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "base/philox.h"
#include "base/progress_bar.h"
#include "base/status.h"
#include "base/utf8.h"
#include "data/model_text.h"
#include "data/token_file.h"
#include "data/token_file_format.h"
#include "data/token_names.h"
#include "data/tokenizer.h"

namespace tl {
namespace {

constexpr size_t kChunk = 1 << 20;

struct FileCloser {
  void operator()(std::FILE* f) const { std::fclose(f); }
};
using StdioFile = std::unique_ptr<std::FILE, FileCloser>;

absl::StatusOr<StdioFile> OpenAt(const std::string& path, int64_t offset) {
  StdioFile file(std::fopen(path.c_str(), "rb"));
  if (file == nullptr || ::fseeko(file.get(), offset, SEEK_SET) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat(path, ": cannot open the text"));
  }
  return file;
}

absl::StatusOr<int64_t> FileSize(const std::string& path) {
  struct stat info;
  if (::stat(path.c_str(), &info) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat(path, ": cannot open the text"));
  }
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": expected a text file, found something that is not a regular file"));
  }
  return static_cast<int64_t>(info.st_size);
}

// The start of the first line at or after `from`; size where there is none.
absl::StatusOr<int64_t> NextLine(const std::string& path, int64_t from, int64_t size) {
  if (from == 0) return from;
  TL_ASSIGN_OR_RETURN(StdioFile file, OpenAt(path, from - 1));
  int64_t at = from - 1;
  for (int c; (c = std::getc(file.get())) != EOF;) {
    ++at;
    if (c == '\n') return at;
  }
  return size;
}

struct DocumentEnds {
  int32_t begin = -1, end = -1;
};

// The token that an option names; otherwise: what the tokenizer's folder says.
absl::StatusOr<int32_t> Chosen(const char* option, const std::string& name,
                               const Tokenizer& tokenizer, int32_t otherwise) {
  if (name.empty()) return otherwise;
  if (name == "none") return -1;
  const int32_t id = TokenNames(tokenizer.definition()).Find(name);
  if (id >= 0) return id;
  return absl::InvalidArgumentError(absl::StrCat(
      option, " ", name, ": expected a token of the tokenizer, ", tokenizer.name(), ", or none"));
}

// Takes the text of one output in pieces, and writes its tokens document by document.
class TextWriter {
 public:
  // dropout: see TokenizeOptions; ends: what documents begin and end with, -1: nothing.
  TextWriter(const TokenizeOptions& options, double dropout, const Tokenizer& tokenizer,
             const DocumentEnds& ends, TokenFileWriter* writer, ProgressBar* bar)
      : separator_(options.separator),
        dropout_(dropout),
        seed_(static_cast<uint64_t>(options.seed)),
        tokenizer_(tokenizer),
        ends_(ends),
        writer_(*writer),
        bar_(*bar) {
    writer->SetEnds(ends.begin, ends.end);
  }

  // The bytes [begin, end) of the file; what is there is a document, or several with separators.
  absl::Status AddFile(const std::string& path, int64_t begin, int64_t end) {
    TL_ASSIGN_OR_RETURN(StdioFile file, OpenAt(path, begin));
    bar_.SetOf(path);
    std::string text;
    size_t searched = 0;  // of text: holds no separator's beginning before this
    int64_t offset = begin, read = begin;
    // The bytes in hand that must be there before the next try: grows where no cut was found.
    size_t wanted = kChunk;
    while (read < end || !text.empty()) {
      const size_t before = text.size();
      if (before < wanted && read < end) {
        text.resize(before + std::min<size_t>(wanted - before, end - read));
        const size_t n = std::fread(text.data() + before, 1, text.size() - before, file.get());
        if (n != text.size() - before) {
          return std::ferror(file.get()) != 0
                     ? absl::ErrnoToStatus(errno, absl::StrCat(path, ": cannot read"))
                     : absl::DataLossError(absl::StrCat(path, ": became shorter while being read"));
        }
        read += static_cast<int64_t>(n);
        bar_.Add(static_cast<int64_t>(n));
      }
      size_t used = 0;  // of text, from the front
      while (!separator_.empty()) {
        const size_t at = text.find(separator_, std::max(used, searched));
        if (at == std::string::npos) break;
        TL_RETURN_IF_ERROR(Add(path, offset + used, {text.data() + used, at - used}));
        TL_RETURN_IF_ERROR(EndDocument());
        ++separators_;
        used = searched = at + separator_.size();
      }
      if (read == end) {
        TL_RETURN_IF_ERROR(Add(path, offset + used, {text.data() + used, text.size() - used}));
        break;
      }
      absl::string_view rest = absl::string_view(text).substr(used);
      // The last bytes may be the beginning of a separator.
      if (!separator_.empty()) {
        rest.remove_suffix(std::min(rest.size(), separator_.size() - 1));
        searched = std::max(searched, used + rest.size());
      }
      const size_t cut = tokenizer_.CutPoint(rest);
      TL_RETURN_IF_ERROR(Add(path, offset + used, rest.substr(0, cut)));
      used += cut;
      text.erase(0, used);
      searched -= std::min(searched, used);
      offset += static_cast<int64_t>(used);
      wanted = std::max(kChunk, 2 * text.size());
    }
    return EndDocument();
  }

  int64_t separators() const { return separators_; }

 private:
  absl::Status Add(const std::string& path, int64_t offset, absl::string_view text) {
    if (text.empty()) return absl::OkStatus();
    ids_.clear();
    if (const absl::Status status = Encode(text); !status.ok()) {
      const size_t n = ValidUtf8Prefix(text);
      if (n == text.size()) {
        return absl::Status(status.code(),
                            absl::StrCat(path, ": from byte ", offset, ": ", status.message()));
      }
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": expected UTF-8, found something else at byte ",
                       offset + static_cast<int64_t>(n)));
    }
    if (!in_document_) {
      writer_.StartDocument();
      // A text that has it already gets no other.
      if (ends_.begin >= 0 && (ids_.empty() || ids_[0] != ends_.begin))
        ids_.insert(ids_.begin(), ends_.begin);
    }
    in_document_ = true;
    return writer_.Append(ids_, static_cast<int64_t>(text.size()));
  }

  absl::Status Encode(absl::string_view text) {
    if (dropout_ == 0.0) return tokenizer_.Encode(text, &ids_);
    const PhiloxWords words = Philox(seed_, static_cast<uint64_t>(writer_.text_bytes()), 0);
    return tokenizer_.EncodeWithDropout(text, dropout_, uint64_t{words.w[0]} << 32 | words.w[1],
                                        &ids_);
  }

  absl::Status EndDocument() {
    const bool had_text = std::exchange(in_document_, false);
    if (!had_text || ends_.end < 0) return absl::OkStatus();
    return writer_.Append({&ends_.end, 1}, 0);
  }

  int64_t separators_ = 0;
  const std::string& separator_;
  const double dropout_;
  const uint64_t seed_;
  const Tokenizer& tokenizer_;
  const DocumentEnds ends_;
  TokenFileWriter& writer_;
  ProgressBar& bar_;
  bool in_document_ = false;
  std::vector<int32_t> ids_;
};

bool IsTokenFile(absl::string_view begin) {
  return absl::StartsWith(
      begin, absl::string_view(internal::kTokenFileMagic, sizeof(internal::kTokenFileMagic)));
}

// A SentencePiece model begins with the field of its first piece, and that with the piece's text:
// both have tag 1 and a length.
bool IsSentencePieceModel(absl::string_view begin) {
  return begin.size() >= 4 && begin[0] == '\n' && begin[2] == '\n';
}

// Tells whether both name one place, whatever is there.
bool SamePlace(const std::string& a, const std::string& b) {
  std::error_code error;
  return !a.empty() && !b.empty() &&
         std::filesystem::weakly_canonical(std::filesystem::absolute(a), error) ==
             std::filesystem::weakly_canonical(std::filesystem::absolute(b), error);
}

// Nothing that is read may be written over, and nothing that these outputs are not.
absl::Status CheckOutputs(const TokenizeOptions& options) {
  std::vector<std::string> inputs = options.texts;
  if (options.train_vocab > 0) {
    if (SamePlace(options.tokenizer, options.out) ||
        SamePlace(options.tokenizer, options.holdout_out))
      return absl::InvalidArgumentError(
          absl::StrCat(options.tokenizer, ": given for the tokenizer and for the tokens"));
    TL_RETURN_IF_ERROR(
        CheckReplaceable(options.tokenizer, IsSentencePieceModel, "a SentencePiece model", inputs));
  }
  if (options.tokenizer != "bytes") inputs.push_back(options.tokenizer);
  for (const std::string& out : {options.out, options.holdout_out}) {
    if (!out.empty())
      TL_RETURN_IF_ERROR(CheckReplaceable(out, IsTokenFile, "a token file", inputs));
  }
  return absl::OkStatus();
}

void Report(const Tokenizer& tokenizer, const DocumentEnds& ends, const TokenFileWriter& writer,
            int64_t separators, TokenizeReport* report) {
  if (report == nullptr) return;
  *report = {.tokens = writer.token_count(),
             .documents = writer.document_count(),
             .text_bytes = writer.text_bytes(),
             .separators = separators,
             .vocab_size = tokenizer.vocab_size(),
             .tokenizer_name = tokenizer.name(),
             .tokenizer_note = tokenizer.note(),
             .begin = ends.begin < 0 ? "" : TokenName(tokenizer, ends.begin),
             .end = ends.end < 0 ? "" : TokenName(tokenizer, ends.end)};
}

}  // namespace

absl::Status TokenizeFiles(const TokenizeOptions& options, TokenizeReport* report,
                           TokenizeReport* holdout_report) {
  if (options.texts.empty()) return absl::InvalidArgumentError("no text files given");
  if (options.out.empty()) return absl::InvalidArgumentError("no output file given");
  const bool holds_out = options.holdout != 0.0;
  if (holds_out && !(options.holdout > 0.0 && options.holdout < 1.0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("holdout: expected a fraction between 0 and 1, found ", options.holdout));
  }
  if (holds_out != !options.holdout_out.empty()) {
    return absl::InvalidArgumentError("a holdout needs both a fraction and an output file");
  }
  if (holds_out && SamePlace(options.holdout_out, options.out)) {
    return absl::InvalidArgumentError(
        absl::StrCat(options.out, ": given for the text and for its holdout"));
  }
  if (!(options.bpe_dropout >= 0.0 && options.bpe_dropout <= 1.0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("bpe-dropout: expected a number from 0 to 1, found ", options.bpe_dropout));
  }
  TL_RETURN_IF_ERROR(CheckOutputs(options));
  std::vector<int64_t> sizes;
  int64_t total = 0;
  for (const std::string& path : options.texts) {
    TL_ASSIGN_OR_RETURN(const int64_t size, FileSize(path));
    sizes.push_back(size);
    total += size;
  }

  // The holdout begins at byte cut_at of file cut_file.
  size_t cut_file = sizes.size();
  int64_t cut_at = 0;
  if (holds_out) {
    auto left =
        static_cast<int64_t>(std::llround(static_cast<double>(total) * (1.0 - options.holdout)));
    for (cut_file = 0; cut_file + 1 < sizes.size() && left > sizes[cut_file]; ++cut_file) {
      left -= sizes[cut_file];
    }
    TL_ASSIGN_OR_RETURN(cut_at, NextLine(options.texts[cut_file], std::min(left, sizes[cut_file]),
                                         sizes[cut_file]));
  }
  if (options.train_vocab > 0) {
    if (options.tokenizer == "bytes") {
      return absl::InvalidArgumentError(
          "train-vocab: expected the file of a new SentencePiece model as the tokenizer, found "
          "bytes");
    }
    const int64_t kept = std::accumulate(sizes.begin(), sizes.begin() + cut_file, cut_at);
    const ProgressBar bar("learn the vocabulary", 0, ProgressUnit::kBytes, options.tokenizer);
    TL_RETURN_IF_ERROR(TrainSentencePiece(options.texts, options.train_vocab, options.tokenizer,
                                          std::min(kept, kMostTrainingText)));
  }
  TL_ASSIGN_OR_RETURN(const ModelText model, ReadModelText(options.tokenizer));
  const auto& tokenizer = model.tokenizer;
  DocumentEnds ends;
  TL_ASSIGN_OR_RETURN(ends.begin, Chosen("--begin-token", options.begin_token, *tokenizer,
                                         model.rules.adds_begin ? model.rules.begin : -1));
  TL_ASSIGN_OR_RETURN(ends.end,
                      Chosen("--end-token", options.end_token, *tokenizer, model.rules.end()));
  if (options.bpe_dropout > 0.0) {
    std::vector<int32_t> none;
    TL_RETURN_IF_ERROR(tokenizer->EncodeWithDropout("", options.bpe_dropout, 0, &none));
  }
  ProgressBar bar("tokenize", total, ProgressUnit::kBytes);
  std::unique_ptr<TokenFileWriter> out, holdout;
  int64_t held_separators = 0;
  TL_ASSIGN_OR_RETURN(out, TokenFileWriter::Create(options.out, *tokenizer));
  TextWriter text(options, options.bpe_dropout, *tokenizer, ends, out.get(), &bar);
  for (size_t i = 0; i < sizes.size() && i <= cut_file; ++i) {
    TL_RETURN_IF_ERROR(text.AddFile(options.texts[i], 0, i == cut_file ? cut_at : sizes[i]));
  }
  if (holds_out) {
    TL_ASSIGN_OR_RETURN(holdout, TokenFileWriter::Create(options.holdout_out, *tokenizer));
    TextWriter held_text(options, /*dropout=*/0.0, *tokenizer, ends, holdout.get(), &bar);
    for (size_t i = cut_file; i < sizes.size(); ++i) {
      TL_RETURN_IF_ERROR(held_text.AddFile(options.texts[i], i == cut_file ? cut_at : 0, sizes[i]));
    }
    held_separators = held_text.separators();
  }
  TL_RETURN_IF_ERROR(out->Complete());
  if (holds_out) {
    TL_RETURN_IF_ERROR(holdout->Finish());
    Report(*tokenizer, ends, *holdout, held_separators, holdout_report);
  }
  TL_RETURN_IF_ERROR(out->Finish());
  Report(*tokenizer, ends, *out, text.separators(), report);
  return absl::OkStatus();
}

}  // namespace tl
