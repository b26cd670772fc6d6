// SPDX-License-Identifier: Apache-2.0
// A file of pictures, bytes or floats, that fit a model, and the file of their classes.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "data/array_file.h"
#include "nn/patches.h"

namespace tl {

class PictureFile {
 public:
  // path: '|u1' or '<f4' of [N, C, H, W], [N, C H W], or [N, H, W] where C is 1. labels: N integers
  // below classes, all of which are read here; empty where classes is 0.
  static absl::StatusOr<std::unique_ptr<PictureFile>> Open(const std::string& path,
                                                           const std::string& labels,
                                                           const PatchGrid& grid, int64_t classes);

  const ArrayFile& pictures() const { return *pictures_; }
  const ArrayFile* labels() const { return labels_.get(); }  // null: none
  int64_t count() const { return pictures_->header().samples(); }
  bool is_bytes() const { return pictures_->header().type == ArrayType::kU8; }

  // Reads a picture [C, H, W] of the file's type. See ArrayFile::Read.
  absl::Status ReadBytes(int64_t number, uint8_t* picture) const;
  absl::Status ReadFloats(int64_t number, float* picture) const;
  // Reads the class of a picture; -1 where there are no labels.
  absl::StatusOr<int32_t> ReadLabel(int64_t number) const;

  // Reads pictures from the first to the last, so many of them or all, and refuses floats that
  // are not finite.
  absl::Status CheckSome(int64_t count) const;

 private:
  PictureFile() = default;
  // Reads labels of pictures from `first` on.
  absl::Status ReadLabels(int64_t first, int64_t count, int32_t* out) const;

  std::unique_ptr<ArrayFile> pictures_, labels_;
  int64_t classes_ = 0;
};

}  // namespace tl
