// SPDX-License-Identifier: Apache-2.0
#include "engine/input_loader.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "kernels/matmul.h"

namespace tl {
namespace {

constexpr int64_t kNumber = sizeof(int32_t);

// Products read values; nothing reads tokens by more than one.
int64_t Alignment(const BatchShape& shape) {
  return shape.row_values > 0 ? kMatmulAlignment : kNumber;
}

int64_t Aligned(int64_t bytes, int64_t alignment) {
  return (bytes + alignment - 1) / alignment * alignment;
}

template <typename T>
void Round(const std::vector<float>& values, std::byte* to) {
  std::transform(values.begin(), values.end(), reinterpret_cast<T*>(to), FromFloat<T>);
}

}  // namespace

int64_t InputLoader::Bytes(const BatchShape& shape, DType compute) {
  const int64_t rows = shape.rows();
  if (shape.row_values == 0) return (4 + shape.lookahead) * rows * kNumber;
  const auto size = static_cast<int64_t>(SizeOf(compute));
  int64_t bytes = 0;
  for (const int64_t tensor : {rows * shape.row_values * size, shape.count * kFeatures * size,
                               rows * shape.row_values * kNumber, rows * kNumber,
                               shape.count * kNumber, shape.count * kNumber, shape.count * kNumber})
    bytes += Aligned(tensor, Alignment(shape));
  return bytes;
}

InputLoader::InputLoader(const BatchShape& shape, const Options& options, Device device,
                         int64_t passes)
    : shape_(shape), options_(options), device_(device) {
  const int64_t bytes = Bytes(shape, options.compute);
  memory_ = Buffer::Allocate(device, bytes);
  if (device.type == DeviceType::kCpu) return;
  host_ = Buffer::AllocateHost(device, passes * bytes);
  host_read_.resize(passes);
}

Inputs InputLoader::Load(Stream& stream, const HostBatch& batch) {
  TL_CHECK_EQ(batch.count * batch.sequence_length, shape_.rows());
  TL_CHECK(device_.type == DeviceType::kCpu || !host_read_.empty()) << "no passes were planned";
  if (!host_read_.empty()) Stream::Cpu().Wait(host_read_[slot_]);  // long past, within a step
  at_ = 0;
  Inputs inputs;
  inputs.batch = batch.count;
  inputs.sequence_length = batch.sequence_length;
  if (shape_.row_values > 0) {
    LoadValues(stream, batch, &inputs);
  } else {
    LoadTokens(stream, batch, &inputs);
  }
  if (!host_read_.empty()) {
    host_read_[slot_] = Event::Record(stream);
    slot_ = (slot_ + 1) % host_read_.size();
  }
  return inputs;
}

void InputLoader::LoadTokens(Stream& stream, const HostBatch& batch, Inputs* inputs) {
  const int64_t rows = shape_.rows(), lookahead = shape_.lookahead;
  TL_CHECK_LE(lookahead, batch.lookahead);
  inputs->tokens = Copy(stream, {rows}, batch.inputs);
  inputs->positions = Copy(stream, {rows}, batch.positions);
  if (options_.segments)
    inputs->segments = Copy(stream, {batch.count, batch.sequence_length}, batch.segments);
  if (lookahead == 0) return;
  inputs->targets = Copy(stream, {lookahead, rows}, batch.targets_storage);
  if (lookahead == 1) return;
  inputs->inner_targets = Put(stream, {rows}, DType::kI32, [&](std::byte* to) {
    auto* inner = reinterpret_cast<int32_t*>(to);
    const absl::Span<const int32_t> targets = batch.targets(1);
    for (int64_t i = 0; i < rows; ++i) inner[i] = batch.positions[i] == 0 ? -1 : targets[i];
  });
}

void InputLoader::LoadValues(Stream& stream, const HostBatch& batch, Inputs* inputs) {
  const Shape values = {shape_.rows(), shape_.row_values};
  inputs->values = Rounded(stream, values, batch.noisy);
  inputs->features = Rounded(stream, {batch.count, kFeatures}, batch.features);
  if (!batch.target.empty()) inputs->value_targets = Copy(stream, values, batch.target);
  if (!batch.weight.empty()) inputs->weights = Copy(stream, {batch.count}, batch.weight);
  if (!batch.range.empty()) inputs->ranges = Copy(stream, {batch.count}, batch.range);
  inputs->positions = Put(stream, {shape_.rows()}, DType::kI32, [&](std::byte* to) {
    auto* places = reinterpret_cast<int32_t*>(to);
    for (int64_t b = 0; b < batch.count; ++b, places += batch.sequence_length)
      std::iota(places, places + batch.sequence_length, 0);
  });
  if (options_.classes == 0) return;
  TL_CHECK_EQ(static_cast<int64_t>(batch.labels.size()), batch.count);
  inputs->labels = Put(stream, {batch.count}, DType::kI32, [&](std::byte* to) {
    std::transform(batch.labels.begin(), batch.labels.end(), reinterpret_cast<int32_t*>(to),
                   [none = static_cast<int32_t>(options_.classes)](int32_t label) {
                     return label < 0 ? none : label;
                   });
  });
}

Tensor InputLoader::Put(Stream& stream, const Shape& shape, DType dtype,
                        const std::function<void(std::byte*)>& fill) {
  const Tensor tensor = Tensor::Contiguous(memory_.data() + at_, shape, dtype, device_);
  if (host_read_.empty()) {
    stream.Synchronize();
    fill(tensor.data);
  } else {
    std::byte* from = host_.data() + slot_ * memory_.size() + at_;
    fill(from);
    CopyBytes(stream, tensor.data, from, tensor.bytes());
  }
  at_ += Aligned(tensor.bytes(), Alignment(shape_));
  return tensor;
}

template <typename T>
Tensor InputLoader::Copy(Stream& stream, const Shape& shape, const std::vector<T>& values) {
  TL_CHECK_LE(shape.elements(), static_cast<int64_t>(values.size()));
  return Put(stream, shape, DTypeOf<T>::value,
             [&](std::byte* to) { std::memcpy(to, values.data(), shape.elements() * sizeof(T)); });
}

Tensor InputLoader::Rounded(Stream& stream, const Shape& shape, const std::vector<float>& values) {
  TL_CHECK_EQ(static_cast<int64_t>(values.size()), shape.elements());
  return Put(stream, shape, options_.compute, [&](std::byte* to) {
    switch (options_.compute) {
      case DType::kBF16:
        return Round<BF16>(values, to);
      case DType::kF16:
        return Round<F16>(values, to);
      default:
        return Round<float>(values, to);
    }
  });
}

}  // namespace tl
