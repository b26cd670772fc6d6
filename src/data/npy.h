// SPDX-License-Identifier: Apache-2.0
// Writes NumPy's .npy files, version 1.0; array_file.h reads them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "base/temporary.h"
#include "data/array_file.h"

namespace tl {

inline constexpr absl::string_view kNpyMagic("\x93NUMPY", 6);

// Tells a .npy file by its first bytes.
bool IsNpyFile(absl::string_view first_bytes);

// Makes the header of a file of this shape, as NumPy would.
std::string NpyHeader(ArrayType type, const std::vector<int64_t>& shape);

// A file that appears when it is whole.
class NpyWriter {
 public:
  // Refuses a file that is larger than this process may write.
  static absl::StatusOr<NpyWriter> Create(const std::string& path, ArrayType type,
                                          const std::vector<int64_t>& shape);

  // Appends values, of the file's type and row by row, no more of them than the shape has.
  absl::Status Append(absl::Span<const float> values) {
    return Append(ArrayType::kF32, values.data(), values.size());
  }
  absl::Status Append(absl::Span<const uint8_t> values) {
    return Append(ArrayType::kU8, values.data(), values.size());
  }
  // Gives the file its name; all values are there.
  absl::Status Finish();

 private:
  NpyWriter(std::string path, Temporary temporary, ArrayType type, int64_t values)
      : path_(std::move(path)), temporary_(std::move(temporary)), type_(type), missing_(values) {}
  absl::Status Append(ArrayType type, const void* values, size_t count);

  std::string path_;
  Temporary temporary_;
  ArrayType type_;
  int64_t missing_;  // values yet to come
};

}  // namespace tl
