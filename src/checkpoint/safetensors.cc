// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/safetensors.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "base/json.h"
#include "base/lfs.h"
#include "base/status.h"

namespace tl {
namespace {

constexpr int64_t kMaxHeader = 100'000'000;

struct DTypeName {
  DType dtype;
  const char* name;
};
constexpr DTypeName kNames[] = {{DType::kF32, "F32"}, {DType::kBF16, "BF16"}, {DType::kF16, "F16"},
                                {DType::kF64, "F64"}, {DType::kI32, "I32"},   {DType::kI64, "I64"},
                                {DType::kU8, "U8"}};

absl::Status Bad(const std::string& path, const std::string& what) {
  return absl::InvalidArgumentError(path + ": not a valid safetensors file: " + what);
}

absl::Status ReadAll(int fd, const std::string& path, int64_t offset, void* out, int64_t bytes) {
  auto* p = static_cast<char*>(out);
  while (bytes > 0) {
    const ssize_t n = pread(fd, p, bytes, offset);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return SystemError(path, "read", errno);
    if (n == 0)
      return absl::DataLossError(path + ": ends at byte " + std::to_string(offset) + ", expected " +
                                 std::to_string(bytes) + " more: cut off while it is read");
    p += n;
    offset += n;
    bytes -= n;
  }
  return absl::OkStatus();
}

// One entry of the header. data_bytes: the size of all data.
absl::StatusOr<TensorInfo> ParseTensorInfo(const std::string& path, const std::string& name,
                                           const nlohmann::json& json, int64_t data_bytes) {
  TensorInfo tensor{.name = name, .shape = {}};
  const auto bad = [&](const std::string& what) {
    return Bad(path, "tensor \"" + name + "\": " + what);
  };
  if (!json.is_object() || !json.contains("dtype") || !json["dtype"].is_string() ||
      !json.contains("shape") || !json["shape"].is_array() || !json.contains("data_offsets") ||
      !json["data_offsets"].is_array() || json["data_offsets"].size() != 2)
    return bad("expected dtype, shape and data_offsets");
  const std::string dtype = json["dtype"].get<std::string>();
  const auto* found = std::find_if(std::begin(kNames), std::end(kNames),
                                   [&](const DTypeName& n) { return dtype == n.name; });
  if (found == std::end(kNames)) {
    const char* matter = absl::StartsWith(dtype, "F8_") ? "weights quantized to FP8"
                         : dtype == "BOOL"              ? "a mask, no weights"
                                                        : nullptr;
    if (matter == nullptr) return bad("dtype " + dtype + " is not supported");
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": tensor \"", name, "\": dtype ", dtype, " (", matter,
        ") is not read; expected F32, BF16 or F16: save the model again in one of them, without "
        "such tensors"));
  }
  tensor.dtype = found->dtype;
  int64_t elements = 1;
  for (const auto& dim : json["shape"]) {
    if (!dim.is_number_unsigned()) return bad("a dimension is not a number");
    const auto n = dim.get<uint64_t>();
    if (n > (uint64_t{1} << 40) ||
        (n != 0 && elements > (int64_t{1} << 40) / static_cast<int64_t>(n)))
      return bad("the shape is too large");
    tensor.shape.push_back(static_cast<int64_t>(n));
    elements *= static_cast<int64_t>(n);
  }
  const auto& offsets = json["data_offsets"];
  if (!offsets[0].is_number_unsigned() || !offsets[1].is_number_unsigned())
    return bad("an offset is not a number");
  const auto begin = offsets[0].get<uint64_t>(), end = offsets[1].get<uint64_t>();
  if (begin > end || end > static_cast<uint64_t>(data_bytes))
    return bad("offsets [" + std::to_string(begin) + ", " + std::to_string(end) +
               ") are not inside the data of " + std::to_string(data_bytes) + " bytes");
  tensor.begin = static_cast<int64_t>(begin);
  tensor.bytes = static_cast<int64_t>(end - begin);
  if (tensor.bytes != elements * static_cast<int64_t>(SizeOf(tensor.dtype)))
    return bad("its size is " + std::to_string(tensor.bytes) +
               " bytes, by its shape it should be " +
               std::to_string(elements * static_cast<int64_t>(SizeOf(tensor.dtype))));
  return tensor;
}

}  // namespace

absl::StatusOr<std::unique_ptr<SafetensorsWriter>> SafetensorsWriter::Create(
    const std::string& path, std::vector<TensorInfo> tensors,
    const std::map<std::string, std::string>& metadata) {
  nlohmann::json header = nlohmann::json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  int64_t offset = 0;
  for (TensorInfo& tensor : tensors) {
    int64_t elements = 1;
    for (const int64_t dim : tensor.shape) elements *= dim;
    tensor.begin = offset;
    tensor.bytes = elements * static_cast<int64_t>(SizeOf(tensor.dtype));
    offset += tensor.bytes;
    const auto* name = std::find_if(std::begin(kNames), std::end(kNames),
                                    [&](const DTypeName& n) { return n.dtype == tensor.dtype; });
    header[tensor.name] = {
        {"dtype", name->name}, {"shape", tensor.shape}, {"data_offsets", {tensor.begin, offset}}};
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  std::unique_ptr<SafetensorsWriter> writer(new SafetensorsWriter);
  writer->path_ = path;
  writer->tensors_ = std::move(tensors);
  writer->file_ = std::fopen(path.c_str(), "wb");
  if (writer->file_ == nullptr) return SystemError(path, "create", errno);
  const uint64_t size = text.size();
  if (std::fwrite(&size, sizeof(size), 1, writer->file_) != 1 ||
      std::fwrite(text.data(), 1, text.size(), writer->file_) != text.size())
    return SystemError(path, "write", errno);
  return writer;
}

SafetensorsWriter::~SafetensorsWriter() {
  if (file_ != nullptr) std::fclose(file_);
}

absl::Status SafetensorsWriter::Append(const void* data, int64_t bytes) {
  TL_CHECK(next_ < tensors_.size() && written_ + bytes <= tensors_[next_].bytes) << path_;
  written_ += bytes;
  if (written_ == tensors_[next_].bytes) {
    ++next_;
    written_ = 0;
  }
  if (bytes > 0 && std::fwrite(data, 1, bytes, file_) != static_cast<size_t>(bytes))
    return SystemError(path_, "write", errno);
  return absl::OkStatus();
}

absl::Status SafetensorsWriter::Finish() {
  TL_CHECK_EQ(next_, tensors_.size());
  const bool flushed = std::fflush(file_) == 0 && fsync(fileno(file_)) == 0;
  const absl::Status status = flushed ? absl::OkStatus() : SystemError(path_, "write", errno);
  const bool closed = std::fclose(file_) == 0;
  file_ = nullptr;
  return status.ok() && !closed ? SystemError(path_, "close", errno) : status;
}

absl::StatusOr<std::unique_ptr<SafetensorsReader>> SafetensorsReader::Open(
    const std::string& path) {
  std::unique_ptr<SafetensorsReader> reader(new SafetensorsReader);
  reader->path_ = path;
  reader->fd_ = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (reader->fd_ < 0) return SystemError(path, "open", errno);
  struct stat info;
  if (fstat(reader->fd_, &info) != 0) return SystemError(path, "stat", errno);
  uint64_t header_bytes = 0;
  if (info.st_size < 8) return Bad(path, "it has only " + std::to_string(info.st_size) + " bytes");
  TL_RETURN_IF_ERROR(ReadAll(reader->fd_, path, 0, &header_bytes, 8));
  std::string begin(static_cast<size_t>(
                        std::min<int64_t>(info.st_size, static_cast<int64_t>(kLfsPointer.size()))),
                    '\0');
  TL_RETURN_IF_ERROR(
      ReadAll(reader->fd_, path, 0, begin.data(), static_cast<int64_t>(begin.size())));
  TL_RETURN_IF_ERROR(CheckNotLfsPointer(begin, path));
  if (header_bytes > static_cast<uint64_t>(std::min<int64_t>(kMaxHeader, info.st_size - 8)))
    return Bad(path, "a header of " + std::to_string(header_bytes) + " bytes in a file of " +
                         std::to_string(info.st_size));
  std::string text(header_bytes, '\0');
  TL_RETURN_IF_ERROR(
      ReadAll(reader->fd_, path, 8, text.data(), static_cast<int64_t>(header_bytes)));
  TL_ASSIGN_OR_RETURN(const nlohmann::json header,
                      ParseJson(text, path + ": not a valid safetensors file: the header"));
  if (!header.is_object()) return Bad(path, "the header is not a JSON object");
  reader->data_begin_ = 8 + static_cast<int64_t>(header_bytes);
  const int64_t data_bytes = info.st_size - reader->data_begin_;
  for (const auto& [name, json] : header.items()) {
    if (name == "__metadata__") continue;
    TL_ASSIGN_OR_RETURN(TensorInfo tensor, ParseTensorInfo(path, name, json, data_bytes));
    reader->tensors_.push_back(std::move(tensor));
  }
  std::vector<const TensorInfo*> order;
  for (const TensorInfo& tensor : reader->tensors_) order.push_back(&tensor);
  std::sort(order.begin(), order.end(), [](const TensorInfo* a, const TensorInfo* b) {
    return std::pair(a->begin, a->bytes) < std::pair(b->begin, b->bytes);
  });
  int64_t end = 0;
  for (const TensorInfo* tensor : order) {
    if (tensor->begin != end)
      return Bad(path, "tensor \"" + tensor->name + "\" begins at " +
                           std::to_string(tensor->begin) + ", expected " + std::to_string(end));
    end += tensor->bytes;
  }
  if (end != data_bytes)
    return Bad(path, "its data have " + std::to_string(data_bytes) + " bytes, by the header " +
                         std::to_string(end));
  return reader;
}

SafetensorsReader::~SafetensorsReader() {
  if (fd_ >= 0) close(fd_);
}

absl::StatusOr<const TensorInfo*> SafetensorsReader::Find(const std::string& name,
                                                          const std::vector<int64_t>& shape) const {
  const auto text = [](const std::vector<int64_t>& dims) {
    std::string out = "[";
    for (size_t i = 0; i < dims.size(); ++i) out += (i ? ", " : "") + std::to_string(dims[i]);
    return out + "]";
  };
  for (const TensorInfo& tensor : tensors_) {
    if (tensor.name != name) continue;
    if (tensor.shape == shape) return &tensor;
    return absl::InvalidArgumentError(path_ + ": tensor \"" + name + "\" has the shape " +
                                      text(tensor.shape) + ", the model needs " + text(shape));
  }
  return absl::NotFoundError(path_ + ": no tensor \"" + name + "\" of shape " + text(shape));
}

absl::StatusOr<const TensorInfo*> SafetensorsReader::Find(const std::string& name) const {
  for (const TensorInfo& tensor : tensors_) {
    if (tensor.name == name) return &tensor;
  }
  return absl::NotFoundError(path_ + ": no tensor \"" + name + "\"");
}

absl::Status SafetensorsReader::Read(const TensorInfo& tensor, int64_t begin, int64_t count,
                                     float* out) const {
  const auto size = static_cast<int64_t>(SizeOf(tensor.dtype));
  TL_CHECK(begin >= 0 && (begin + count) * size <= tensor.bytes);
  const int64_t offset = data_begin_ + tensor.begin + begin * size;
  if (tensor.dtype == DType::kF32) return ReadAll(fd_, path_, offset, out, count * size);
  if (tensor.dtype != DType::kBF16 && tensor.dtype != DType::kF16)
    return absl::InvalidArgumentError(path_ + ": tensor \"" + tensor.name + "\" is " +
                                      Name(tensor.dtype) + ", expected fp32, bf16 or fp16");
  std::vector<uint16_t> raw(count);
  TL_RETURN_IF_ERROR(ReadAll(fd_, path_, offset, raw.data(), count * size));
  for (int64_t i = 0; i < count; ++i)
    out[i] = tensor.dtype == DType::kBF16 ? ToFloat(BF16{raw[i]}) : ToFloat(F16{raw[i]});
  return absl::OkStatus();
}

}  // namespace tl
