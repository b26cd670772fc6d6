// SPDX-License-Identifier: Apache-2.0
// Receive memory for operations in flight, kept for reuse.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "comm/staging.h"
#include "device/device.h"

namespace tl {

// Shared by the communicators of one world; not for several threads. An operation leases memory
// when it starts and not when it is queued, so one stream needs one buffer however long its queue.
class Workspaces {
 public:
  class Lease {
   public:
    Lease() = default;
    Lease(std::shared_ptr<Workspaces> owner, size_t bytes);
    Lease(Lease&& other) noexcept { *this = std::move(other); }
    Lease& operator=(Lease&& other) noexcept;
    ~Lease();
    std::byte* data() const { return buffer_.data(); }

   private:
    std::shared_ptr<Workspaces> owner_;
    Buffer buffer_;
  };

  // For tensors of devices.
  StagingMemory& staging() { return staging_; }
  int64_t bytes() const { return bytes_ + staging_.bytes(); }

 private:
  Buffer Take(size_t bytes);

  std::vector<Buffer> free_;
  int64_t bytes_ = 0;
  StagingMemory staging_;
};

}  // namespace tl
