// SPDX-License-Identifier: Apache-2.0
#include "data/npy.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/files.h"
#include "base/status.h"

namespace tl {

bool IsNpyFile(absl::string_view first_bytes) { return absl::StartsWith(first_bytes, kNpyMagic); }

std::string NpyHeader(ArrayType type, const std::vector<int64_t>& shape) {
  constexpr size_t kAlignment = 64;
  std::string dict = absl::StrCat("{'descr': '", Name(type),
                                  "', 'fortran_order': False, 'shape': ", NumpyShape(shape), ", }");
  const size_t before = kNpyMagic.size() + 4;  // version and length
  const size_t all = (before + dict.size() + 1 + kAlignment - 1) / kAlignment * kAlignment;
  dict.resize(all - before - 1, ' ');
  dict += '\n';
  const size_t length = dict.size();
  const char version[] = {1, 0, static_cast<char>(length & 0xff), static_cast<char>(length >> 8)};
  return absl::StrCat(kNpyMagic, absl::string_view(version, sizeof(version)), dict);
}

absl::StatusOr<NpyWriter> NpyWriter::Create(const std::string& path, ArrayType type,
                                            const std::vector<int64_t>& shape) {
  const std::string text = NpyHeader(type, shape);
  ArrayHeader header{.type = type, .shape = shape, .data_at = static_cast<int64_t>(text.size())};
  TL_RETURN_IF_ERROR(CheckFileSizeLimit(path, header.file_bytes()));
  TL_ASSIGN_OR_RETURN(Temporary temporary, Temporary::MakeFile(path));
  TL_RETURN_IF_ERROR(WriteAll(temporary.file(), text.data(), text.size(), path));
  return NpyWriter(path, std::move(temporary), type, header.samples() * header.sample_values());
}

absl::Status NpyWriter::Append(ArrayType type, const void* values, size_t count) {
  TL_CHECK(type == type_) << path_ << ": " << Name(type) << " into " << Name(type_);
  TL_CHECK_LE(static_cast<int64_t>(count), missing_) << path_;
  missing_ -= static_cast<int64_t>(count);
  const size_t bytes = count * static_cast<size_t>(SizeOf(type));
  return WriteAll(temporary_.file(), values, bytes, path_);
}

absl::Status NpyWriter::Finish() {
  TL_CHECK_EQ(missing_, 0) << path_;
  return temporary_.Commit();
}

}  // namespace tl
