// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "base/files.h"
#include "base/status.h"
#include "data/token_file.h"
#include "data/token_file_format.h"

namespace tl {

using internal::TokenFileHeader;

absl::StatusOr<std::unique_ptr<TokenFileWriter>> TokenFileWriter::Create(
    const std::string& path, const Tokenizer& tokenizer) {
  TL_ASSIGN_OR_RETURN(auto writer, Create(path, tokenizer.vocab_size()));
  writer->tokenizer_kind_ = tokenizer.kind();
  writer->tokenizer_hash_ = tokenizer.hash();
  writer->tokenizer_definition_ = tokenizer.definition();
  return writer;
}

absl::StatusOr<std::unique_ptr<TokenFileWriter>> TokenFileWriter::Create(const std::string& path,
                                                                         int64_t vocab_size) {
  TL_CHECK(vocab_size > 0 && vocab_size <= int64_t{1} << 31) << "vocabulary " << vocab_size;
  TL_ASSIGN_OR_RETURN(Temporary temporary, Temporary::MakeFile(path));
  const int fd = ::fcntl(temporary.file().fd(), F_DUPFD_CLOEXEC, 0);
  std::unique_ptr<TokenFileWriter> writer(new TokenFileWriter(path, std::move(temporary)));
  writer->vocab_size_ = vocab_size;
  writer->width_ = internal::TokenWidth(vocab_size);
  writer->file_ = fd < 0 ? nullptr : ::fdopen(fd, "wb");
  if (writer->file_ == nullptr) return SystemError(path, "create", errno);
  const TokenFileHeader zeros = {};  // the real one is known at the end
  TL_RETURN_IF_ERROR(writer->Write(&zeros, sizeof(zeros)));
  return writer;
}

TokenFileWriter::~TokenFileWriter() {
  if (file_ != nullptr) std::fclose(file_);
}

absl::Status TokenFileWriter::Write(const void* data, size_t size) {
  if (size == 0 || std::fwrite(data, 1, size, file_) == size) return absl::OkStatus();
  return SystemError(path_, "write", errno);
}

void TokenFileWriter::SetEnds(int32_t begin, int32_t end) {
  begin_token_ = begin;
  end_token_ = end;
}

void TokenFileWriter::StartDocument() {
  const auto here = static_cast<uint64_t>(token_count_);
  if (document_starts_.empty() || document_starts_.back() != here) document_starts_.push_back(here);
}

absl::Status TokenFileWriter::Append(absl::Span<const int32_t> tokens, int64_t text_bytes) {
  TL_CHECK(file_ != nullptr) << "Append after Complete";
  text_bytes_ += text_bytes;
  if (tokens.empty()) return absl::OkStatus();
  if (document_starts_.empty()) StartDocument();
  buffer_.resize(tokens.size() * width_);
  for (size_t i = 0; i < tokens.size(); ++i) {
    const auto token = static_cast<uint32_t>(tokens[i]);
    if (token >= vocab_size_) {
      return absl::InvalidArgumentError(absl::StrCat(
          path_, ": token ", tokens[i], " is outside the vocabulary of ", vocab_size_));
    }
    std::memcpy(buffer_.data() + i * width_, &token, width_);  // the low bytes come first
  }
  token_crc_ = ExtendCrc32c(token_crc_, buffer_.data(), buffer_.size());
  token_count_ += static_cast<int64_t>(tokens.size());
  return Write(buffer_.data(), buffer_.size());
}

absl::Status TokenFileWriter::Complete() {
  TL_CHECK(file_ != nullptr) << "Complete twice";
  if (token_count_ == 0) {
    return absl::InvalidArgumentError(absl::StrCat(path_, ": no tokens to write"));
  }
  // A document that was started and got nothing is none.
  if (document_starts_.back() == static_cast<uint64_t>(token_count_)) document_starts_.pop_back();
  const size_t end = sizeof(TokenFileHeader) + static_cast<size_t>(token_count_) * width_;
  const size_t tail = (end + 7) / 8 * 8;
  const uint8_t zeros[8] = {};
  const size_t index_size = document_starts_.size() * 8;
  TL_RETURN_IF_ERROR(Write(zeros, tail - end));
  TL_RETURN_IF_ERROR(Write(document_starts_.data(), index_size));
  TL_RETURN_IF_ERROR(Write(tokenizer_definition_.data(), tokenizer_definition_.size()));

  TokenFileHeader h = {};
  std::memcpy(h.magic, internal::kTokenFileMagic, sizeof(h.magic));
  h.version = internal::kTokenFileVersion;
  h.file_size = tail + index_size + tokenizer_definition_.size();
  h.tokens = static_cast<uint64_t>(token_count_);
  h.documents = document_starts_.size();
  h.text_bytes = static_cast<uint64_t>(text_bytes_);
  h.vocab = static_cast<uint64_t>(vocab_size_);
  h.width = static_cast<uint32_t>(width_);
  h.tokenizer_kind = static_cast<uint32_t>(tokenizer_kind_);
  h.tokenizer_hash = tokenizer_hash_;
  h.definition_size = tokenizer_definition_.size();
  h.token_crc = token_crc_;
  h.tail_crc = ExtendCrc32c(Crc32c(document_starts_.data(), index_size),
                            tokenizer_definition_.data(), tokenizer_definition_.size());
  h.begin = internal::PackToken(begin_token_);
  h.end = internal::PackToken(end_token_);
  h.header_crc = Crc32c(&h, sizeof(h));
  if (std::fseek(file_, 0, SEEK_SET) != 0) return SystemError(path_, "write", errno);
  TL_RETURN_IF_ERROR(Write(&h, sizeof(h)));
  // A full disk may show only here.
  if (std::fclose(std::exchange(file_, nullptr)) != 0) return SystemError(path_, "write", errno);
  return absl::OkStatus();
}

absl::Status TokenFileWriter::Finish() {
  if (file_ != nullptr) TL_RETURN_IF_ERROR(Complete());
  return temporary_.Commit();
}

}  // namespace tl
