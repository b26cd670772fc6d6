// Other people's formats: llm.c's .bin and Megatron's .bin with .idx.
#include "absl/strings/str_cat.h"
#include "data/token_file.h"
#include "data/token_file_format.h"

namespace tl {

using internal::BadFile;
using internal::LoadAs;
using internal::WrongSize;

namespace {

constexpr size_t kMegatronHeader = 34;
constexpr size_t kLlmCHeader = 1024;

}  // namespace

absl::Status TokenFile::OpenLlmC() {
  format_ = TokenFormat::kLlmC;
  if (data_.size < kLlmCHeader) {
    return BadFile(path_, absl::StrCat("truncated: expected an llm.c header of ", kLlmCHeader,
                                       " bytes, found ", data_.size, " bytes"));
  }
  const int32_t magic = LoadAs<int32_t>(data_.data);
  const int32_t version = LoadAs<int32_t>(data_.data + 4);
  const int32_t count = LoadAs<int32_t>(data_.data + 8);
  const int32_t expected_version = magic == internal::kLlmCGpt2Magic ? 1 : 7;
  if (version != expected_version) {
    return BadFile(path_, absl::StrCat("expected llm.c version ", expected_version, " with magic ",
                                       magic, ", found ", version));
  }
  if (count <= 0) {
    return BadFile(path_, absl::StrCat("expected a positive number of tokens in the llm.c header, "
                                       "found ",
                                       count));
  }
  width_ = magic == internal::kLlmCGpt2Magic ? 2 : 4;
  token_count_ = count;
  const uint64_t expected = kLlmCHeader + static_cast<uint64_t>(count) * width_;
  if (data_.size != expected) return WrongSize(path_, expected, data_.size);
  tokens_ = data_.data + kLlmCHeader;
  document_count_ = 1;
  return absl::OkStatus();
}

absl::Status TokenFile::OpenMegatron(const std::string& index_path) {
  format_ = TokenFormat::kMegatron;
  const uint8_t* p = index_.data;
  if (index_.size < kMegatronHeader) {
    return BadFile(index_path, absl::StrCat("truncated: expected a header of ", kMegatronHeader,
                                            " bytes, found ", index_.size, " bytes"));
  }
  const uint64_t version = LoadAs<uint64_t>(p + 9);
  if (version != 1) return BadFile(index_path, absl::StrCat("expected version 1, found ", version));
  const int dtype = p[17];
  if (dtype != 1 && dtype != 4 && dtype != 8) {
    return BadFile(
        index_path,
        absl::StrCat("expected dtype 1 (uint8), 4 (int32) or 8 (uint16), found ", dtype));
  }
  width_ = dtype == 1 ? 1 : dtype == 8 ? 2 : 4;
  is_signed_ = dtype == 4;
  const uint64_t sequences = LoadAs<uint64_t>(p + 18), documents = LoadAs<uint64_t>(p + 26);
  const uint64_t body = index_.size - kMegatronHeader;
  if (sequences > body / 12 || documents > body / 8) {
    return BadFile(index_path, absl::StrCat("truncated: ", index_.size, " bytes cannot hold ",
                                            sequences, " sequences and ", documents, " documents"));
  }
  const uint64_t expected = kMegatronHeader + sequences * 12 + documents * 8;
  if (index_.size != expected) return WrongSize(index_path, expected, index_.size);
  if (sequences == 0 || documents == 0) {
    return BadFile(index_path,
                   absl::StrCat("expected at least one sequence and one document start, "
                                "found ",
                                sequences, " and ", documents));
  }
  const uint8_t* lengths = p + kMegatronHeader;
  sequence_offsets_ = lengths + 4 * sequences;
  document_sequences_ = sequence_offsets_ + 8 * sequences;
  sequence_count_ = static_cast<int64_t>(sequences);
  int64_t offset = 0;
  for (int64_t s = 0; s < sequence_count_; ++s) {
    const int32_t length = LoadAs<int32_t>(lengths + 4 * s);
    const int64_t found = LoadAs<int64_t>(sequence_offsets_ + 8 * s);
    if (length < 0 || found != offset) {
      return BadFile(index_path, absl::StrCat("sequence ", s, ": expected offset ", offset,
                                              " and a length >= 0, found offset ", found,
                                              " and length ", length));
    }
    offset += int64_t{length} * width_;
  }
  if (static_cast<uint64_t>(offset) != data_.size) return WrongSize(path_, offset, data_.size);
  int64_t previous = 0;
  for (uint64_t d = 0; d < documents; ++d) {
    const int64_t sequence = LoadAs<int64_t>(document_sequences_ + 8 * d);
    if (sequence < previous || sequence > sequence_count_ || (d == 0 && sequence != 0)) {
      return BadFile(index_path,
                     absl::StrCat("document starts must ascend from 0 to ", sequences, ", found ",
                                  sequence, " for document ", d, " after ", previous));
    }
    previous = sequence;
  }
  // The last entry is where the next document would start, if the writer closed the last one.
  document_count_ = static_cast<int64_t>(documents) - (previous == sequence_count_ ? 1 : 0);
  tokens_ = data_.data;
  token_count_ = offset / width_;
  return absl::OkStatus();
}

}  // namespace tl
