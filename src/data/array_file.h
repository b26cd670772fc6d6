// SPDX-License-Identifier: Apache-2.0
// Arrays of numbers as others write them: NumPy's .npy files, versions 1 to 3, and IDX files, as
// those of MNIST are. The first axis counts samples.
//
//   .npy  "\x93NUMPY", u8 major and u8 minor version, u16 (version 1) or u32 length of the header,
//         the header, a dict of Python: {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), },
//         and the numbers
//   IDX   two zeros, u8 type, u8 number of axes, a big-endian u32 length of each, and the numbers
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "data/steady_file.h"

namespace tl {

enum class ArrayType : uint8_t { kU8, kI32, kI64, kF32 };
const char* Name(ArrayType type);  // as NumPy has it: "|u1", "<i4"
int64_t SizeOf(ArrayType type);    // in bytes

struct ArrayHeader {
  ArrayType type = ArrayType::kU8;
  std::vector<int64_t> shape;  // 1 to 4 axes, none of length 0
  int64_t data_at = 0;         // in the file

  int64_t samples() const { return shape[0]; }
  int64_t sample_values() const;
  int64_t file_bytes() const;  // of the whole file
  bool operator==(const ArrayHeader&) const = default;
};

// Says "(60000, 28, 28)".
std::string NumpyShape(const std::vector<int64_t>& shape);

// No header is longer than this.
inline constexpr int64_t kMostArrayHeader = 1 << 16;

// Reads the header at the begin of a file: of all of it, or of its first kMostArrayHeader bytes. An
// error names the field, what was expected and what was found. Whether the file is as long as the
// header says is another question.
absl::StatusOr<ArrayHeader> ParseArrayHeader(absl::string_view begin, const std::string& path);

// Tells whether a file that begins so may be an array.
bool BeginsAsArray(absl::string_view first_bytes);

class ArrayFile {
 public:
  // Refuses a file of another length than its header says.
  static absl::StatusOr<std::unique_ptr<ArrayFile>> Open(const std::string& path);
  ArrayFile(const ArrayFile&) = delete;
  ArrayFile& operator=(const ArrayFile&) = delete;

  const std::string& path() const { return data_->path(); }
  const ArrayHeader& header() const { return header_; }
  // Reads samples as they are stored. From any thread; fails where the file is no longer what it
  // was, see SteadyFile. A float that is not finite is an error.
  absl::Status Read(int64_t first, int64_t count, void* out) const;
  // Reads all of them.
  absl::Status Verify() const;

 private:
  ArrayFile() = default;

  std::unique_ptr<SteadyFile> data_;
  ArrayHeader header_;
};

}  // namespace tl
