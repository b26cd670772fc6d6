// SPDX-License-Identifier: Apache-2.0
// The safetensors format: u64 header length, a JSON header of names, types, shapes and offsets,
// then the tensors' bytes without gaps. All little-endian.
#pragma once

#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "device/tensor.h"

namespace tl {

struct TensorInfo {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  int64_t begin = 0;  // bytes from the start of the data
  int64_t bytes = 0;
};

// Writes tensors in the order announced. The file is fsynced by Finish; every error names it.
class SafetensorsWriter {
 public:
  // Offsets of `tensors` are filled in here.
  static absl::StatusOr<std::unique_ptr<SafetensorsWriter>> Create(
      const std::string& path, std::vector<TensorInfo> tensors,
      const std::map<std::string, std::string>& metadata);
  ~SafetensorsWriter();
  // Appends the next data of the tensor whose turn it is; one without elements too.
  absl::Status Append(const void* data, int64_t bytes);
  absl::Status Finish();

 private:
  SafetensorsWriter() = default;
  std::string path_;
  std::FILE* file_ = nullptr;
  std::vector<TensorInfo> tensors_;
  size_t next_ = 0;
  int64_t written_ = 0;  // bytes of tensors_[next_]
};

class SafetensorsReader {
 public:
  // Reads and checks the header: sizes, offsets inside the file, no overlap.
  static absl::StatusOr<std::unique_ptr<SafetensorsReader>> Open(const std::string& path);
  ~SafetensorsReader();
  const std::vector<TensorInfo>& tensors() const { return tensors_; }
  // Finds a tensor; an error where the name is missing or the shape, where given, differs.
  absl::StatusOr<const TensorInfo*> Find(const std::string& name,
                                         const std::vector<int64_t>& shape) const;
  absl::StatusOr<const TensorInfo*> Find(const std::string& name) const;
  // Elements [begin, begin + count) of a tensor as fp32.
  absl::Status Read(const TensorInfo& tensor, int64_t begin, int64_t count, float* out) const;

 private:
  SafetensorsReader() = default;
  std::string path_;
  int fd_ = -1;
  int64_t data_begin_ = 0;
  std::vector<TensorInfo> tensors_;
};

}  // namespace tl
