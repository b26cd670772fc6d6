// SPDX-License-Identifier: Apache-2.0
// Other people's formats: llm.c's .bin and Megatron's .bin with .idx.
#include "absl/strings/str_cat.h"
#include "data/token_file.h"
#include "data/token_file_format.h"

namespace tl {

using internal::BadFile;
using internal::ForEachBlock;
using internal::LoadAs;
using internal::WrongSize;

namespace {

constexpr size_t kMegatronHeader = 34;
constexpr size_t kLlmCHeader = 1024;

}  // namespace

absl::Status TokenFile::OpenLlmC() {
  format_ = TokenFormat::kLlmC;
  const auto size = static_cast<uint64_t>(data_->size());
  if (size < kLlmCHeader) {
    return BadFile(path_, absl::StrCat("truncated: expected an llm.c header of ", kLlmCHeader,
                                       " bytes, found ", size, " bytes"));
  }
  int32_t header[3];
  TL_RETURN_IF_ERROR(data_->Read(0, header, sizeof(header)));
  const auto [magic, version, count] = header;
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
  if (size != expected) return WrongSize(path_, expected, size);
  tokens_at_ = kLlmCHeader;
  document_count_ = 1;
  some_starts_ = {0};
  return absl::OkStatus();
}

absl::Status TokenFile::OpenMegatron() {
  format_ = TokenFormat::kMegatron;
  const std::string& index_path = index_->path();
  const auto size = static_cast<uint64_t>(index_->size());
  if (size < kMegatronHeader) {
    return BadFile(index_path, absl::StrCat("truncated: expected a header of ", kMegatronHeader,
                                            " bytes, found ", size, " bytes"));
  }
  uint8_t p[kMegatronHeader];
  TL_RETURN_IF_ERROR(index_->Read(0, p, sizeof(p)));
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
  const uint64_t body = size - kMegatronHeader;
  if (sequences > body / 12 || documents > body / 8) {
    return BadFile(index_path, absl::StrCat("truncated: ", size, " bytes cannot hold ", sequences,
                                            " sequences and ", documents, " documents"));
  }
  const uint64_t expected = kMegatronHeader + sequences * 12 + documents * 8;
  if (size != expected) return WrongSize(index_path, expected, size);
  if (sequences == 0 || documents == 0) {
    return BadFile(index_path,
                   absl::StrCat("expected at least one sequence and one document start, "
                                "found ",
                                sequences, " and ", documents));
  }
  sequence_count_ = static_cast<int64_t>(sequences);
  const int64_t lengths_at = kMegatronHeader;
  sequence_offsets_at_ = lengths_at + 4 * sequence_count_;
  document_sequences_at_ = sequence_offsets_at_ + 8 * sequence_count_;
  int64_t offset = 0;
  std::vector<int64_t> offsets;
  TL_RETURN_IF_ERROR(ForEachBlock<int32_t>(
      *index_, lengths_at, sequence_count_,
      [&](const int32_t* lengths, int64_t first, int64_t count) -> absl::Status {
        offsets.resize(static_cast<size_t>(count));
        TL_RETURN_IF_ERROR(
            index_->Read(sequence_offsets_at_ + 8 * first, offsets.data(), offsets.size() * 8));
        for (int64_t i = 0; i < count; ++i) {
          if (lengths[i] < 0 || offsets[i] != offset) {
            return BadFile(index_path, absl::StrCat("sequence ", first + i, ": expected offset ",
                                                    offset, " and a length >= 0, found offset ",
                                                    offsets[i], " and length ", lengths[i]));
          }
          offset += int64_t{lengths[i]} * width_;
        }
        return absl::OkStatus();
      }));
  if (offset != data_->size()) return WrongSize(path_, offset, data_->size());
  int64_t previous = 0;
  TL_RETURN_IF_ERROR(ForEachBlock<int64_t>(
      *index_, document_sequences_at_, static_cast<int64_t>(documents),
      [&](const int64_t* sequence, int64_t first, int64_t count) -> absl::Status {
        for (int64_t i = 0; i < count; ++i) {
          if (sequence[i] < previous || sequence[i] > sequence_count_ ||
              (first + i == 0 && sequence[i] != 0)) {
            return BadFile(
                index_path,
                absl::StrCat("document starts must ascend from 0 to ", sequences, ", found ",
                             sequence[i], " for document ", first + i, " after ", previous));
          }
          previous = sequence[i];
        }
        return absl::OkStatus();
      }));
  // The last entry is where the next document would start, if the writer closed the last one.
  document_count_ = static_cast<int64_t>(documents) - (previous == sequence_count_ ? 1 : 0);
  token_count_ = offset / width_;
  some_starts_.resize(static_cast<size_t>((document_count_ + kStride - 1) / kStride));
  for (size_t i = 0; i < some_starts_.size(); ++i)
    TL_RETURN_IF_ERROR(DocumentStarts(static_cast<int64_t>(i) * kStride, 1, &some_starts_[i]));
  return absl::OkStatus();
}

}  // namespace tl
