// SPDX-License-Identifier: Apache-2.0
// The GGUF format, version 3: magic, metadata, a table of tensors, then their data, each aligned to
// 32 bytes. All little-endian; dimensions are given fastest first.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "device/dtype.h"

namespace tl {

class GgufMetadata {
 public:
  void Add(const std::string& key, uint32_t value);
  void Add(const std::string& key, float value);
  void Add(const std::string& key, bool value);
  void Add(const std::string& key, const std::string& value);
  void Add(const std::string& key, const char* value) { Add(key, std::string(value)); }
  void Add(const std::string& key, const std::vector<std::string>& values);
  void Add(const std::string& key, const std::vector<float>& values);
  void Add(const std::string& key, const std::vector<int32_t>& values);

  int64_t count() const { return count_; }
  const std::string& bytes() const { return bytes_; }

 private:
  void Key(const std::string& key, uint32_t type);
  int64_t count_ = 0;
  std::string bytes_;
};

struct GgufTensor {
  std::string name;
  std::vector<int64_t> shape;  // rows first, as elsewhere here
  DType dtype = DType::kF32;   // fp32, fp16 or bf16
};

// Writes tensors in the order announced; every error names the file.
class GgufWriter {
 public:
  static absl::StatusOr<std::unique_ptr<GgufWriter>> Create(const std::string& path,
                                                            const GgufMetadata& metadata,
                                                            std::vector<GgufTensor> tensors);
  ~GgufWriter();
  // The next data of the tensor whose turn it is.
  absl::Status Append(const void* data, int64_t bytes);
  absl::Status Finish();

 private:
  GgufWriter() = default;
  absl::Status Write(const void* data, size_t bytes);
  std::string path_;
  std::FILE* file_ = nullptr;
  std::vector<GgufTensor> tensors_;
  size_t next_ = 0;
  int64_t written_ = 0;  // bytes of tensors_[next_]
};

}  // namespace tl
