// SPDX-License-Identifier: Apache-2.0
#include "data/token_file.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "base/progress_bar.h"
#include "base/status.h"
#include "data/token_file_format.h"

namespace tl {

using internal::BadFile;
using internal::LoadAs;
using internal::WrongSize;

namespace {

bool FileExists(const std::string& path) {
  struct stat info;
  return ::stat(path.c_str(), &info) == 0;
}

// The first bytes of the file; fewer where it is shorter.
absl::StatusOr<std::string> Begin(const SteadyFile& file) {
  std::string begin(static_cast<size_t>(std::min<int64_t>(file.size(), 16)), '\0');
  TL_RETURN_IF_ERROR(file.Read(0, begin.data(), begin.size()));
  return begin;
}

}  // namespace

absl::StatusOr<std::unique_ptr<TokenFile>> TokenFile::Open(const std::string& path) {
  std::unique_ptr<TokenFile> file(new TokenFile);
  std::string stem = path;
  if (absl::EndsWith(path, ".bin") || absl::EndsWith(path, ".idx")) stem.resize(path.size() - 4);
  const std::string index_path = stem + ".idx";
  const bool is_index = absl::EndsWith(path, ".idx");
  const bool is_prefix = stem == path && !FileExists(path) && FileExists(index_path);
  // A Megatron .bin has no header of its own, so the index beside it is asked first.
  if ((absl::EndsWith(path, ".bin") && FileExists(index_path)) || is_index || is_prefix) {
    TL_ASSIGN_OR_RETURN(file->index_, SteadyFile::Open(index_path, "a token file"));
    TL_ASSIGN_OR_RETURN(const std::string begin, Begin(*file->index_));
    if (absl::StartsWith(begin, internal::kMegatronMagic)) {
      file->path_ = stem + ".bin";
      TL_ASSIGN_OR_RETURN(file->data_, SteadyFile::Open(file->path_, "a token file"));
      TL_RETURN_IF_ERROR(file->OpenMegatron());
      return file;
    }
    if (is_index || is_prefix) {
      return BadFile(index_path, "expected Megatron's magic \"MMIDIDX\" at its start, found none");
    }
  }
  file->path_ = path;
  TL_ASSIGN_OR_RETURN(file->data_, SteadyFile::Open(path, "a token file"));
  TL_ASSIGN_OR_RETURN(const std::string begin, Begin(*file->data_));
  const auto starts_with = [&](const void* magic, size_t n) {
    return std::memcmp(begin.data(), magic, std::min(n, begin.size())) == 0;
  };
  if (starts_with(internal::kTokenFileMagic, sizeof(internal::kTokenFileMagic))) {
    TL_RETURN_IF_ERROR(file->OpenOwn());
  } else if (starts_with(&internal::kLlmCGpt2Magic, 4) ||
             starts_with(&internal::kLlmCLlama3Magic, 4)) {
    TL_RETURN_IF_ERROR(file->OpenLlmC());
  } else {
    return BadFile(
        path,
        "not a token file: expected the magic of Trunkline's (\"TLTOKENS\") or llm.c's "
        "format, or Megatron's .idx beside a .bin, found none; text becomes a token file "
        "by `trunkline tokenize`");
  }
  return file;
}

absl::Status TokenFile::OpenOwn() {
  using internal::TokenFileHeader;
  format_ = TokenFormat::kOwn;
  const auto size = static_cast<uint64_t>(data_->size());
  TokenFileHeader h;
  if (size < sizeof(h)) {
    return BadFile(path_, absl::StrCat("truncated: expected a header of ", sizeof(h),
                                       " bytes, found ", size, " bytes"));
  }
  TL_RETURN_IF_ERROR(data_->Read(0, &h, sizeof(h)));
  if (h.version != internal::kTokenFileVersion) {
    return BadFile(path_, absl::StrCat("expected token file version ", internal::kTokenFileVersion,
                                       ", found ", h.version));
  }
  const uint32_t crc = std::exchange(h.header_crc, 0);
  const uint32_t found_crc = Crc32c(&h, sizeof(h));
  if (crc != found_crc) {
    return BadFile(path_, absl::StrCat("damaged header: expected CRC32C ", absl::Hex(crc),
                                       ", found ", absl::Hex(found_crc)));
  }
  if (h.file_size != size) return WrongSize(path_, h.file_size, size);
  if (h.width != 1 && h.width != 2 && h.width != 4) {
    return BadFile(path_, absl::StrCat("expected 1, 2 or 4 bytes per token, found ", h.width));
  }
  // Each count is bounded by the file's size before it is multiplied.
  const uint64_t body = h.file_size - sizeof(h);
  uint64_t tail = 0;
  bool fits = h.tokens <= body / h.width && h.documents <= body / 8 && h.definition_size <= body;
  if (fits) {
    tail = (sizeof(h) + h.tokens * h.width + 7) / 8 * 8;
    fits = tail + h.documents * 8 + h.definition_size == h.file_size;
  }
  if (!fits) {
    return BadFile(path_,
                   absl::StrCat("header does not add up: ", h.tokens, " tokens of ", h.width,
                                " bytes, ", h.documents, " documents and ", h.definition_size,
                                " bytes of tokenizer in a file of ", h.file_size, " bytes"));
  }
  if (h.vocab == 0 || h.vocab > uint64_t{1} << 31 ||
      h.text_bytes > uint64_t{std::numeric_limits<int64_t>::max()}) {
    return BadFile(path_, absl::StrCat("header has vocabulary ", h.vocab, " and ", h.text_bytes,
                                       " bytes of text, out of range"));
  }
  if (h.tokens == 0 || h.documents == 0) {
    return BadFile(path_, absl::StrCat("expected at least one token and one document, found ",
                                       h.tokens, " and ", h.documents));
  }
  tokens_at_ = sizeof(h);
  width_ = static_cast<int>(h.width);
  token_count_ = static_cast<int64_t>(h.tokens);
  vocab_size_ = static_cast<int64_t>(h.vocab);
  text_bytes_ = static_cast<int64_t>(h.text_bytes);
  document_count_ = static_cast<int64_t>(h.documents);
  document_starts_at_ = static_cast<int64_t>(tail);
  token_crc_ = h.token_crc;
  tokenizer_kind_ = static_cast<TokenizerKind>(h.tokenizer_kind);
  tokenizer_hash_ = h.tokenizer_hash;
  begin_token_ = internal::UnpackToken(h.begin);
  end_token_ = internal::UnpackToken(h.end);
  uint64_t previous = 0;
  uint32_t found_tail = 0;
  absl::Status order;  // damage shows in the CRC, which is told first
  TL_RETURN_IF_ERROR(internal::ForEachBlock<uint64_t>(
      *data_, document_starts_at_, document_count_,
      [&](const uint64_t* starts, int64_t first, int64_t count) {
        found_tail = ExtendCrc32c(found_tail, starts, static_cast<size_t>(count) * 8);
        for (int64_t i = 0; order.ok() && i < count; ++i) {
          const int64_t d = first + i;
          if (d == 0 ? starts[i] != 0 : (starts[i] <= previous || starts[i] >= h.tokens)) {
            order = BadFile(path_, absl::StrCat("document starts must ascend from 0 to below ",
                                                h.tokens, ", found ", starts[i], " for document ",
                                                d, " after ", previous));
          }
          if (d % kStride == 0) some_starts_.push_back(static_cast<int64_t>(starts[i]));
          previous = starts[i];
        }
        return absl::OkStatus();
      }));
  tokenizer_definition_.resize(h.definition_size);
  TL_RETURN_IF_ERROR(data_->Read(document_starts_at_ + document_count_ * 8,
                                 tokenizer_definition_.data(), tokenizer_definition_.size()));
  found_tail = ExtendCrc32c(found_tail, tokenizer_definition_.data(), tokenizer_definition_.size());
  if (h.tail_crc != found_tail) {
    return BadFile(path_, absl::StrCat("damaged document index or tokenizer: expected CRC32C ",
                                       absl::Hex(h.tail_crc), ", found ", absl::Hex(found_tail)));
  }
  return order;
}

absl::Status TokenFile::DocumentStarts(int64_t first, int64_t count, int64_t* out) const {
  TL_CHECK(first >= 0 && count >= 0 && first + count <= document_count_ + 1)
      << path_ << ": documents " << first << " + " << count;
  const int64_t stored = std::min(count, document_count_ - first);
  if (format_ == TokenFormat::kOwn) {
    TL_RETURN_IF_ERROR(
        data_->Read(document_starts_at_ + 8 * first, out, static_cast<size_t>(stored) * 8));
  } else if (format_ == TokenFormat::kMegatron) {
    TL_RETURN_IF_ERROR(
        index_->Read(document_sequences_at_ + 8 * first, out, static_cast<size_t>(stored) * 8));
    for (int64_t i = 0; i < stored; ++i) {
      const int64_t sequence = out[i];
      out[i] = token_count_;
      if (sequence == sequence_count_) continue;
      if (sequence < 0 || sequence > sequence_count_) {
        return BadFile(index_->path(), absl::StrCat("document ", first + i, " starts at sequence ",
                                                    sequence, " of ", sequence_count_));
      }
      TL_RETURN_IF_ERROR(index_->Read(sequence_offsets_at_ + 8 * sequence, &out[i], 8));
      out[i] /= width_;
    }
  } else {
    std::fill(out, out + stored, 0);
  }
  if (stored < count) out[stored] = token_count_;
  return absl::OkStatus();
}

absl::StatusOr<int64_t> TokenFile::DocumentOf(int64_t token) const {
  const auto last_at_or_before = [token](const int64_t* starts, int64_t count) {
    return std::upper_bound(starts, starts + count, token) - starts - 1;
  };
  int64_t low =
      last_at_or_before(some_starts_.data(), static_cast<int64_t>(some_starts_.size())) * kStride;
  int64_t high = std::min(low + kStride, document_count_);
  if (format_ == TokenFormat::kOwn) {
    std::array<int64_t, kStride> starts;
    TL_RETURN_IF_ERROR(DocumentStarts(low, high - low, starts.data()));
    return low + std::max<int64_t>(last_at_or_before(starts.data(), high - low), 0);
  }
  while (high - low > 1) {
    const int64_t middle = low + (high - low) / 2;
    int64_t start = 0;
    TL_RETURN_IF_ERROR(DocumentStarts(middle, 1, &start));
    (start <= token ? low : high) = middle;
  }
  return low;
}

absl::Status TokenFile::ReadRaw(int64_t begin, int64_t count, uint8_t* out) const {
  return data_->Read(tokens_at_ + begin * width_, out, static_cast<size_t>(count * width_));
}

namespace {

// Makes tokens of `width` bytes int32_t. The largest: a negative token is a large one here.
uint32_t Widen(const uint8_t* from, int width, int64_t count, int32_t* out) {
  uint32_t largest = 0;
  const auto widen = [&]<typename T>(T) {
    for (int64_t i = 0; i < count; ++i) {
      const uint32_t token = LoadAs<T>(from + static_cast<int64_t>(sizeof(T)) * i);
      out[i] = static_cast<int32_t>(token);
      largest = std::max(largest, token);
    }
  };
  width == 1 ? widen(uint8_t{}) : width == 2 ? widen(uint16_t{}) : widen(uint32_t{});
  return largest;
}

}  // namespace

absl::Status TokenFile::ReadTokens(int64_t begin, int64_t count, int64_t vocab,
                                   int32_t* out) const {
  TL_CHECK(begin >= 0 && count >= 0 && begin <= token_count_ - count)
      << path_ << ": tokens " << begin << " + " << count << " of " << token_count_;
  std::array<uint8_t, 16 << 10> raw;
  const int64_t block = static_cast<int64_t>(raw.size()) / width_;
  for (; count > 0; begin += block, count -= block, out += block) {
    const int64_t n = std::min(block, count);
    TL_RETURN_IF_ERROR(ReadRaw(begin, n, raw.data()));
    if (Widen(raw.data(), width_, n, out) < vocab) continue;
    const int64_t at =
        std::find_if(out, out + n, [&](int32_t t) { return static_cast<uint32_t>(t) >= vocab; }) -
        out;
    const std::string token =
        is_signed_ ? absl::StrCat(out[at]) : absl::StrCat(static_cast<uint32_t>(out[at]));
    return BadFile(path_, absl::StrCat("token ", begin + at, " is ", token,
                                       ", outside the vocabulary of ", vocab));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Tokenizer>> TokenFile::MakeTokenizer() const {
  if (tokenizer_kind_ == TokenizerKind::kNone) {
    return absl::FailedPreconditionError(
        absl::StrCat(path_, ": does not say which tokenizer made it"));
  }
  auto tokenizer = LoadTokenizer(tokenizer_kind_, tokenizer_definition_);
  if (!tokenizer.ok()) return BadFile(path_, tokenizer.status().message());
  if ((*tokenizer)->hash() != tokenizer_hash_) {
    return BadFile(path_, absl::StrCat("expected a tokenizer of hash ", absl::Hex(tokenizer_hash_),
                                       ", found ", absl::Hex((*tokenizer)->hash())));
  }
  return tokenizer;
}

absl::Status TokenFile::Verify(int64_t vocab) const {
  constexpr int64_t kChunk = 1 << 20;
  std::vector<uint8_t> raw(std::min(kChunk, token_count_) * width_);
  std::vector<int32_t> tokens(std::min(kChunk, token_count_));
  if (vocab == 0) vocab = vocab_size_ > 0 ? vocab_size_ : int64_t{1} << 31;
  uint32_t crc = 0;
  absl::Status range;
  ProgressBar bar("verify", token_count_ * width_, ProgressUnit::kBytes, path_);
  for (int64_t begin = 0; begin < token_count_; begin += kChunk) {
    const int64_t n = std::min(kChunk, token_count_ - begin);
    if (format_ == TokenFormat::kOwn) {
      TL_RETURN_IF_ERROR(ReadRaw(begin, n, raw.data()));
      crc = ExtendCrc32c(crc, raw.data(), n * width_);
    }
    if (range.ok()) range = ReadTokens(begin, n, vocab, tokens.data());
    bar.Add(n * width_);
  }
  if (format_ == TokenFormat::kOwn && crc != token_crc_) {
    return BadFile(path_, absl::StrCat("damaged tokens: expected CRC32C ", absl::Hex(token_crc_),
                                       ", found ", absl::Hex(crc)));
  }
  return range;
}

}  // namespace tl
