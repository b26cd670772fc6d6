// SPDX-License-Identifier: Apache-2.0
#include "comm/staging.h"

namespace tl {
namespace {

size_t Aligned(int64_t bytes) { return (static_cast<size_t>(bytes) + 63) / 64 * 64; }

}  // namespace

std::byte* StagingMemory::Take(Device device, size_t bytes) {
  if (buffer_.size() < bytes) {
    buffer_ = Buffer();
    buffer_ = Buffer::AllocateHost(device, bytes);
  }
  return buffer_.data();
}

Staged::Staged(Stream& stream, StagingMemory& memory, absl::Span<const Tensor> tensors)
    : stream_(stream) {
  size_t bytes = 0;
  for (const Tensor& x : tensors) bytes += OnHost(x) ? 0 : Aligned(x.bytes());
  next_ = memory.Take(stream.device(), bytes);
}

Tensor Staged::Place(const Tensor& x) {
  TL_CHECK(x.contiguous()) << "a strided view " << ToString(x.shape) << " on "
                           << ToString(x.device);
  staged_ = true;
  Tensor host = x;
  host.data = next_;
  host.device = Device{};
  next_ += Aligned(x.bytes());
  return host;
}

Tensor Staged::In(const Tensor& x) {
  if (OnHost(x)) return x;
  const Tensor host = Place(x);
  CopyBytes(stream_, host.data, x.data, static_cast<size_t>(x.bytes()));
  return host;
}

Tensor Staged::Out(const Tensor& x) {
  if (OnHost(x)) return x;
  const Tensor host = Place(x);
  back_.push_back({x, host});
  return host;
}

Tensor Staged::InOut(const Tensor& x) {
  if (OnHost(x)) return x;
  const Tensor host = In(x);
  back_.push_back({x, host});
  return host;
}

Stream& Staged::Begin() {
  if (staged_) stream_.Synchronize();
  return host_;
}

void Staged::End() {
  for (const Copy& copy : back_)
    CopyBytes(stream_, copy.device.data, copy.host.data, static_cast<size_t>(copy.host.bytes()));
  // The memory is the next collective's.
  if (!back_.empty()) stream_.Synchronize();
}

}  // namespace tl
