// SPDX-License-Identifier: Apache-2.0
#include "convert/gguf.h"

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/files.h"
#include "base/status.h"

namespace tl {
namespace {

constexpr int64_t kAlign = 32;
enum : uint32_t { kUint32 = 4, kInt32 = 5, kFloat32 = 6, kBool = 7, kString = 8, kArray = 9 };

template <typename T>
void Put(std::string& to, T value) {
  to.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

void PutString(std::string& to, const std::string& text) {
  Put<uint64_t>(to, text.size());
  to += text;
}

uint32_t GgufType(DType dtype) {
  switch (dtype) {
    case DType::kF16:
      return 1;
    case DType::kBF16:
      return 30;
    default:
      TL_CHECK(dtype == DType::kF32);
      return 0;
  }
}

int64_t Bytes(const GgufTensor& tensor) {
  auto bytes = static_cast<int64_t>(SizeOf(tensor.dtype));
  for (const int64_t dim : tensor.shape) bytes *= dim;
  return bytes;
}

int64_t Aligned(int64_t bytes) { return (bytes + kAlign - 1) / kAlign * kAlign; }

}  // namespace

void GgufMetadata::Key(const std::string& key, uint32_t type) {
  ++count_;
  PutString(bytes_, key);
  Put(bytes_, type);
}

void GgufMetadata::Add(const std::string& key, uint32_t value) {
  Key(key, kUint32);
  Put(bytes_, value);
}

void GgufMetadata::Add(const std::string& key, float value) {
  Key(key, kFloat32);
  Put(bytes_, value);
}

void GgufMetadata::Add(const std::string& key, bool value) {
  Key(key, kBool);
  Put<uint8_t>(bytes_, value ? 1 : 0);
}

void GgufMetadata::Add(const std::string& key, const std::string& value) {
  Key(key, kString);
  PutString(bytes_, value);
}

void GgufMetadata::Add(const std::string& key, const std::vector<std::string>& values) {
  Key(key, kArray);
  Put<uint32_t>(bytes_, kString);
  Put<uint64_t>(bytes_, values.size());
  for (const std::string& value : values) PutString(bytes_, value);
}

void GgufMetadata::Add(const std::string& key, const std::vector<float>& values) {
  Key(key, kArray);
  Put<uint32_t>(bytes_, kFloat32);
  Put<uint64_t>(bytes_, values.size());
  for (const float value : values) Put(bytes_, value);
}

void GgufMetadata::Add(const std::string& key, const std::vector<int32_t>& values) {
  Key(key, kArray);
  Put<uint32_t>(bytes_, kInt32);
  Put<uint64_t>(bytes_, values.size());
  for (const int32_t value : values) Put(bytes_, value);
}

absl::StatusOr<std::unique_ptr<GgufWriter>> GgufWriter::Create(const std::string& path,
                                                               const GgufMetadata& metadata,
                                                               std::vector<GgufTensor> tensors) {
  std::string header = "GGUF";
  Put<uint32_t>(header, 3);
  Put<uint64_t>(header, tensors.size());
  Put<uint64_t>(header, static_cast<uint64_t>(metadata.count()));
  header += metadata.bytes();
  int64_t offset = 0;
  for (const GgufTensor& tensor : tensors) {
    PutString(header, tensor.name);
    Put(header, static_cast<uint32_t>(tensor.shape.size()));
    for (auto dim = tensor.shape.rbegin(); dim != tensor.shape.rend(); ++dim)
      Put<uint64_t>(header, static_cast<uint64_t>(*dim));
    Put(header, GgufType(tensor.dtype));
    Put<uint64_t>(header, static_cast<uint64_t>(offset));
    offset += Aligned(Bytes(tensor));
  }
  header.resize(static_cast<size_t>(Aligned(static_cast<int64_t>(header.size()))), '\0');
  std::unique_ptr<GgufWriter> writer(new GgufWriter);
  writer->path_ = path;
  writer->tensors_ = std::move(tensors);
  writer->file_ = std::fopen(path.c_str(), "wb");
  if (writer->file_ == nullptr) return SystemError(path, "create", errno);
  TL_RETURN_IF_ERROR(writer->Write(header.data(), header.size()));
  return writer;
}

GgufWriter::~GgufWriter() {
  if (file_ != nullptr) std::fclose(file_);
}

absl::Status GgufWriter::Write(const void* data, size_t bytes) {
  if (bytes == 0 || std::fwrite(data, 1, bytes, file_) == bytes) return absl::OkStatus();
  return SystemError(path_, "write", errno);
}

absl::Status GgufWriter::Append(const void* data, int64_t bytes) {
  TL_CHECK(next_ < tensors_.size()) << path_;
  const int64_t whole = Bytes(tensors_[next_]);
  TL_CHECK(written_ + bytes <= whole) << path_;
  TL_RETURN_IF_ERROR(Write(data, static_cast<size_t>(bytes)));
  written_ += bytes;
  if (written_ < whole) return absl::OkStatus();
  ++next_;
  written_ = 0;
  const char zeros[kAlign] = {};
  return Write(zeros, static_cast<size_t>(Aligned(whole) - whole));
}

absl::Status GgufWriter::Finish() {
  TL_CHECK_EQ(next_, tensors_.size());
  const bool closed = std::fclose(file_) == 0;
  file_ = nullptr;
  if (!closed) return SystemError(path_, "write", errno);
  return absl::OkStatus();
}

}  // namespace tl
