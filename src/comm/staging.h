// SPDX-License-Identifier: Apache-2.0
// Collectives of the host on tensors of a device: copied to pinned host memory, sent from there,
// copied back. For several ranks on one GPU and for machines without a GPU network: the host waits
// for the device at each of them.
#pragma once

#include <cstdint>

#include <vector>

#include "absl/types/span.h"
#include "device/device.h"
#include "device/tensor.h"

namespace tl {

inline bool OnHost(const Tensor& x) { return x.device.type == DeviceType::kCpu; }

// Pinned memory, grown to the largest collective and kept. Shared by the communicators of a world.
class StagingMemory {
 public:
  std::byte* Take(Device device, size_t bytes);
  int64_t bytes() const { return static_cast<int64_t>(buffer_.size()); }

 private:
  Buffer buffer_;
};

// One collective on a device's stream. Host tensors pass through as they are, and where there are
// only those nothing waits for the device.
class Staged {
 public:
  // tensors: all that follow in calls of In, Out and InOut.
  Staged(Stream& stream, StagingMemory& memory, absl::Span<const Tensor> tensors);

  Tensor In(const Tensor& x);     // read by the collective
  Tensor Out(const Tensor& x);    // written
  Tensor InOut(const Tensor& x);  // both
  // The stream to run the host's collective on, once what it reads is there.
  Stream& Begin();
  // Brings back what it has written.
  void End();

 private:
  struct Copy {
    Tensor device, host;
  };
  Tensor Place(const Tensor& x);

  Stream& stream_;
  Stream host_ = Stream::Cpu();
  std::byte* next_ = nullptr;
  bool staged_ = false;  // something of the device takes part
  std::vector<Copy> back_;
};

}  // namespace tl
