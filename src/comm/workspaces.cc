// SPDX-License-Identifier: Apache-2.0
#include "comm/workspaces.h"

#include <algorithm>

namespace tl {

Workspaces::Lease::Lease(std::shared_ptr<Workspaces> owner, size_t bytes)
    : owner_(std::move(owner)), buffer_(owner_->Take(bytes)) {}

Workspaces::Lease& Workspaces::Lease::operator=(Lease&& other) noexcept {
  std::swap(owner_, other.owner_);
  std::swap(buffer_, other.buffer_);
  return *this;
}

Workspaces::Lease::~Lease() {
  if (owner_ != nullptr) owner_->free_.push_back(std::move(buffer_));
}

Buffer Workspaces::Take(size_t bytes) {
  const auto by_size = [](const Buffer& a, const Buffer& b) { return a.size() < b.size(); };
  std::sort(free_.begin(), free_.end(), by_size);
  for (auto it = free_.begin(); it != free_.end(); ++it) {
    if (it->size() < bytes) continue;
    Buffer buffer = std::move(*it);
    free_.erase(it);
    return buffer;
  }
  if (!free_.empty()) {  // Replace the largest: it is too small for what is needed now.
    bytes_ -= static_cast<int64_t>(free_.back().size());
    free_.pop_back();
  }
  bytes_ += static_cast<int64_t>(bytes);
  return Buffer::Allocate({}, bytes);
}

}  // namespace tl
