// SPDX-License-Identifier: Apache-2.0
#include "data/picture_file.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status.h"
#include "base/watchdog.h"
#include "data/token_file_format.h"

namespace tl {
namespace {

using internal::BadFile;
using internal::LoadAs;

absl::Status CheckPictures(const ArrayFile& file, const PatchGrid& grid) {
  const ArrayHeader& header = file.header();
  if (header.type != ArrayType::kU8 && header.type != ArrayType::kF32)
    return BadFile(file.path(), absl::StrCat("descr: expected pictures of '|u1' or '<f4', found '",
                                             Name(header.type), "'"));
  std::vector<std::vector<int64_t>> fitting = {{grid.values()}};
  if (grid.channels == 1) fitting.push_back({grid.height, grid.width});
  fitting.push_back({grid.channels, grid.height, grid.width});
  const std::vector<int64_t> found(header.shape.begin() + 1, header.shape.end());
  std::string expected;
  for (const auto& shape : fitting) {
    if (shape == found) return absl::OkStatus();
    std::vector<int64_t> whole = shape;
    whole.insert(whole.begin(), header.samples());
    absl::StrAppend(&expected, expected.empty() ? "" : " or ", NumpyShape(whole));
  }
  return BadFile(file.path(), absl::StrCat("shape: expected ", expected, " for pictures of ",
                                           grid.channels, " x ", grid.height, " x ", grid.width,
                                           ", found ", NumpyShape(header.shape)));
}

absl::Status CheckLabels(const ArrayFile& labels, const ArrayFile& pictures) {
  const ArrayHeader& header = labels.header();
  if (header.type == ArrayType::kF32)
    return BadFile(labels.path(), absl::StrCat("descr: expected labels of '|u1', '<i4' or '<i8', "
                                               "found '",
                                               Name(header.type), "'"));
  if (header.shape.size() != 1 || header.samples() != pictures.header().samples())
    return BadFile(labels.path(),
                   absl::StrCat("shape: expected ", NumpyShape({pictures.header().samples()}),
                                ", a label for each picture of ", pictures.path(), ", found ",
                                NumpyShape(header.shape)));
  return absl::OkStatus();
}

int64_t LabelAt(const uint8_t* at, ArrayType type) {
  switch (type) {
    case ArrayType::kU8:
      return *at;
    case ArrayType::kI32:
      return LoadAs<int32_t>(at);
    default:
      return LoadAs<int64_t>(at);
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<PictureFile>> PictureFile::Open(const std::string& path,
                                                               const std::string& labels,
                                                               const PatchGrid& grid,
                                                               int64_t classes) {
  std::unique_ptr<PictureFile> file(new PictureFile);
  file->classes_ = classes;
  TL_ASSIGN_OR_RETURN(file->pictures_, ArrayFile::Open(path));
  TL_RETURN_IF_ERROR(CheckPictures(*file->pictures_, grid));
  if (labels.empty()) {
    if (classes == 0) return file;
    return BadFile(path, absl::StrCat("labels: expected a file of labels beside it, { path = ..., "
                                      "labels = ... }, for [model] classes = ",
                                      classes, ", found none"));
  }
  if (classes == 0)
    return BadFile(path,
                   absl::StrCat("labels: expected none for [model] classes = 0, found ", labels));
  TL_ASSIGN_OR_RETURN(file->labels_, ArrayFile::Open(labels));
  TL_RETURN_IF_ERROR(CheckLabels(*file->labels_, *file->pictures_));
  constexpr int64_t kBlock = 1 << 16;
  std::vector<int32_t> block(static_cast<size_t>(std::min(kBlock, file->count())));
  for (int64_t first = 0; first < file->count(); first += kBlock) {
    Beat();
    TL_RETURN_IF_ERROR(
        file->ReadLabels(first, std::min(kBlock, file->count() - first), block.data()));
  }
  return file;
}

absl::Status PictureFile::ReadBytes(int64_t number, uint8_t* picture) const {
  TL_CHECK(is_bytes()) << pictures_->path();
  return pictures_->Read(number, 1, picture);
}

absl::Status PictureFile::ReadFloats(int64_t number, float* picture) const {
  TL_CHECK(!is_bytes()) << pictures_->path();
  return pictures_->Read(number, 1, picture);
}

absl::Status PictureFile::ReadLabels(int64_t first, int64_t count, int32_t* out) const {
  const ArrayType type = labels_->header().type;
  std::vector<uint8_t> raw(static_cast<size_t>(count * SizeOf(type)));
  TL_RETURN_IF_ERROR(labels_->Read(first, count, raw.data()));
  for (int64_t i = 0; i < count; ++i) {
    const int64_t label = LabelAt(raw.data() + i * SizeOf(type), type);
    if (label < 0 || label >= classes_)
      return BadFile(labels_->path(),
                     absl::StrCat("label ", first + i, ": expected 0 to ", classes_ - 1,
                                  ", as [model] classes = ", classes_, ", found ", label));
    out[i] = static_cast<int32_t>(label);
  }
  return absl::OkStatus();
}

absl::StatusOr<int32_t> PictureFile::ReadLabel(int64_t number) const {
  int32_t label = -1;
  if (labels_ != nullptr) TL_RETURN_IF_ERROR(ReadLabels(number, 1, &label));
  return label;
}

absl::Status PictureFile::CheckSome(int64_t count) const {
  count = std::min(count, this->count());
  if (is_bytes()) return absl::OkStatus();  // any byte will do
  std::vector<float> picture(static_cast<size_t>(pictures_->header().sample_values()));
  for (int64_t i = 0; i < count; ++i) {
    const auto last = static_cast<__int128>(this->count() - 1);
    const auto number = static_cast<int64_t>(last * i / std::max<int64_t>(count - 1, 1));
    TL_RETURN_IF_ERROR(ReadFloats(number, picture.data()));
  }
  return absl::OkStatus();
}

}  // namespace tl
