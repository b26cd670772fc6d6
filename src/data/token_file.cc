#include "data/token_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "base/status.h"
#include "data/token_file_format.h"

namespace tl {

using internal::BadFile;
using internal::IsMegatronIndex;
using internal::LoadAs;
using internal::WrongSize;

namespace {

bool Exists(const std::string& path) {
  struct stat info;
  return ::stat(path.c_str(), &info) == 0;
}

// Maps the file read-only. An empty file is an error.
absl::Status Map(const std::string& path, const uint8_t** data, size_t* size) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat(path, ": cannot open the token file"));
  }
  struct stat info;
  absl::Status status;
  if (::fstat(fd, &info) != 0) {
    status = absl::ErrnoToStatus(errno, absl::StrCat(path, ": cannot stat"));
  } else if (!S_ISREG(info.st_mode)) {
    status = BadFile(path, "expected a token file, found something that is not a regular file");
  } else if (info.st_size == 0) {
    status = BadFile(path, "expected a token file, found an empty file");
  } else {
    void* p = ::mmap(nullptr, info.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED) {
      status = absl::ErrnoToStatus(errno, absl::StrCat(path, ": cannot map"));
    } else {
      *data = static_cast<const uint8_t*>(p);
      *size = info.st_size;
    }
  }
  ::close(fd);
  return status;
}

}  // namespace

TokenFile::~TokenFile() {
  for (const Mapping& m : {data_, index_}) {
    if (m.data != nullptr) ::munmap(const_cast<uint8_t*>(m.data), m.size);
  }
}

absl::StatusOr<std::unique_ptr<TokenFile>> TokenFile::Open(const std::string& path) {
  std::unique_ptr<TokenFile> file(new TokenFile);
  std::string stem = path;
  if (absl::EndsWith(path, ".bin") || absl::EndsWith(path, ".idx")) stem.resize(path.size() - 4);
  const std::string index_path = stem + ".idx";
  const bool is_index = absl::EndsWith(path, ".idx");
  const bool is_prefix = stem == path && !Exists(path) && Exists(index_path);
  // A Megatron .bin has no header of its own, so the index beside it is asked first.
  if ((absl::EndsWith(path, ".bin") && Exists(index_path)) || is_index || is_prefix) {
    TL_RETURN_IF_ERROR(Map(index_path, &file->index_.data, &file->index_.size));
    if (IsMegatronIndex(file->index_.data, file->index_.size)) {
      file->path_ = stem + ".bin";
      TL_RETURN_IF_ERROR(Map(file->path_, &file->data_.data, &file->data_.size));
      TL_RETURN_IF_ERROR(file->OpenMegatron(index_path));
      return file;
    }
    if (is_index || is_prefix) {
      return BadFile(index_path, "expected Megatron's magic \"MMIDIDX\" at its start, found none");
    }
  }
  file->path_ = path;
  TL_RETURN_IF_ERROR(Map(path, &file->data_.data, &file->data_.size));
  const uint8_t* data = file->data_.data;
  const size_t size = file->data_.size;
  const auto starts_with = [&](const void* magic, size_t n) {
    return std::memcmp(data, magic, std::min(n, size)) == 0;
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
  if (data_.size < sizeof(TokenFileHeader)) {
    return BadFile(path_, absl::StrCat("truncated: expected a header of ", sizeof(TokenFileHeader),
                                       " bytes, found ", data_.size, " bytes"));
  }
  TokenFileHeader h = LoadAs<TokenFileHeader>(data_.data);
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
  if (h.file_size != data_.size) return WrongSize(path_, h.file_size, data_.size);
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
  const uint32_t found_tail = Crc32c(data_.data + tail, data_.size - tail);
  if (h.tail_crc != found_tail) {
    return BadFile(path_, absl::StrCat("damaged document index or tokenizer: expected CRC32C ",
                                       absl::Hex(h.tail_crc), ", found ", absl::Hex(found_tail)));
  }
  tokens_ = data_.data + sizeof(h);
  width_ = static_cast<int>(h.width);
  token_count_ = static_cast<int64_t>(h.tokens);
  vocab_size_ = static_cast<int64_t>(h.vocab);
  text_bytes_ = static_cast<int64_t>(h.text_bytes);
  document_count_ = static_cast<int64_t>(h.documents);
  document_starts_ = data_.data + tail;
  token_crc_ = h.token_crc;
  tokenizer_kind_ = static_cast<TokenizerKind>(h.tokenizer_kind);
  tokenizer_hash_ = h.tokenizer_hash;
  tokenizer_definition_ = absl::string_view(
      reinterpret_cast<const char*>(data_.data) + tail + h.documents * 8, h.definition_size);
  uint64_t previous = 0;
  for (int64_t d = 0; d < document_count_; ++d) {
    const uint64_t start = LoadAs<uint64_t>(document_starts_ + 8 * d);
    if (d == 0 ? start != 0 : (start <= previous || start >= h.tokens)) {
      return BadFile(
          path_, absl::StrCat("document starts must ascend from 0 to below ", h.tokens, ", found ",
                              start, " for document ", d, " after ", previous));
    }
    previous = start;
  }
  return absl::OkStatus();
}

int64_t TokenFile::DocumentStart(int64_t document) const {
  TL_CHECK(document >= 0 && document <= document_count_) << "document " << document;
  if (document == document_count_) return token_count_;
  if (document_starts_ != nullptr) return LoadAs<int64_t>(document_starts_ + 8 * document);
  if (document_sequences_ == nullptr) return 0;
  const int64_t sequence = LoadAs<int64_t>(document_sequences_ + 8 * document);
  if (sequence == sequence_count_) return token_count_;
  return LoadAs<int64_t>(sequence_offsets_ + 8 * sequence) / width_;
}

int64_t TokenFile::DocumentOf(int64_t token) const {
  int64_t low = 0, high = document_count_;  // DocumentStart(low) <= token < DocumentStart(high)
  while (high - low > 1) {
    const int64_t middle = low + (high - low) / 2;
    (DocumentStart(middle) <= token ? low : high) = middle;
  }
  return low;
}

absl::Status TokenFile::ReadTokens(int64_t begin, int64_t count, int64_t vocab,
                                   int32_t* out) const {
  TL_CHECK(begin >= 0 && count >= 0 && begin <= token_count_ - count)
      << path_ << ": tokens " << begin << " + " << count << " of " << token_count_;
  const uint8_t* p = tokens_ + begin * width_;
  uint32_t largest = 0;  // a negative token is a large one here
  if (width_ == 1) {
    for (int64_t i = 0; i < count; ++i) {
      out[i] = p[i];
      largest = std::max<uint32_t>(largest, p[i]);
    }
  } else if (width_ == 2) {
    for (int64_t i = 0; i < count; ++i) {
      const uint32_t token = LoadAs<uint16_t>(p + 2 * i);
      out[i] = static_cast<int32_t>(token);
      largest = std::max(largest, token);
    }
  } else {
    for (int64_t i = 0; i < count; ++i) {
      const uint32_t token = LoadAs<uint32_t>(p + 4 * i);
      out[i] = static_cast<int32_t>(token);
      largest = std::max(largest, token);
    }
  }
  if (count == 0 || largest < vocab) return absl::OkStatus();
  const int64_t at =
      std::find_if(out, out + count, [&](int32_t t) { return static_cast<uint32_t>(t) >= vocab; }) -
      out;
  const std::string token =
      is_signed_ ? absl::StrCat(out[at]) : absl::StrCat(static_cast<uint32_t>(out[at]));
  return BadFile(path_, absl::StrCat("token ", begin + at, " is ", token,
                                     ", outside the vocabulary of ", vocab));
}

absl::StatusOr<std::unique_ptr<Tokenizer>> TokenFile::MakeTokenizer() const {
  if (tokenizer_kind_ == TokenizerKind::kNone) {
    return absl::FailedPreconditionError(
        absl::StrCat(path_, ": does not say which tokenizer made it"));
  }
  auto tokenizer = LoadTokenizer(tokenizer_kind_, std::string(tokenizer_definition_));
  if (!tokenizer.ok()) return BadFile(path_, tokenizer.status().message());
  if ((*tokenizer)->hash() != tokenizer_hash_) {
    return BadFile(path_, absl::StrCat("expected a tokenizer of hash ", absl::Hex(tokenizer_hash_),
                                       ", found ", absl::Hex((*tokenizer)->hash())));
  }
  return tokenizer;
}

absl::Status TokenFile::Verify(int64_t vocab) const {
  constexpr int64_t kChunk = 1 << 20, kPage = 64 << 10;  // the largest page there is
  std::vector<int32_t> tokens(std::min(kChunk, token_count_));
  if (vocab == 0) vocab = vocab_size_ > 0 ? vocab_size_ : int64_t{1} << 31;
  uint32_t crc = 0;
  absl::Status range;
  for (int64_t begin = 0; begin < token_count_; begin += kChunk) {
    const int64_t n = std::min(kChunk, token_count_ - begin);
    if (format_ == TokenFormat::kOwn) crc = ExtendCrc32c(crc, tokens_ + begin * width_, n * width_);
    if (range.ok()) range = ReadTokens(begin, n, vocab, tokens.data());
    // The process keeps no more of the file than this chunk.
    const auto* const page = data_.data + (tokens_ + begin * width_ - data_.data) / kPage * kPage;
    ::madvise(const_cast<uint8_t*>(page), tokens_ + (begin + n) * width_ - page, MADV_DONTNEED);
  }
  if (format_ == TokenFormat::kOwn && crc != token_crc_) {
    return BadFile(path_, absl::StrCat("damaged tokens: expected CRC32C ", absl::Hex(token_crc_),
                                       ", found ", absl::Hex(crc)));
  }
  return range;
}

}  // namespace tl
