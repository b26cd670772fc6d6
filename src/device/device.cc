// SPDX-License-Identifier: Apache-2.0
#include "device/device.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <deque>
#include <vector>

#include "base/check.h"
#include "base/watchdog.h"
#include "device/cuda.h"
#include "device/cuda_backend.h"

namespace tl {

std::string ToString(Device device) {
  return device.type == DeviceType::kCpu ? "cpu" : "cuda:" + std::to_string(device.index);
}

Buffer Buffer::Allocate(Device device, size_t bytes) {
  constexpr size_t kHuge = size_t{2} << 20;
  const size_t alignment = bytes >= kHuge ? kHuge : 64;
  Buffer buffer;
  buffer.size_ = bytes;
  buffer.device_ = device;
  if (bytes == 0) return buffer;
  if (device.type == DeviceType::kCuda) {
    buffer.data_ = cuda::Allocate(device.index, bytes);
    return buffer;
  }
  const size_t rounded = (bytes + alignment - 1) / alignment * alignment;
  buffer.data_ = static_cast<std::byte*>(std::aligned_alloc(alignment, rounded));
  TL_CHECK(buffer.data_ != nullptr) << "cannot allocate " << bytes << " bytes";
  if (bytes >= kHuge) madvise(buffer.data_, rounded, MADV_HUGEPAGE);
  return buffer;
}

Buffer Buffer::AllocateHost(Device peer, size_t bytes) {
  if (bytes == 0 || peer.type == DeviceType::kCpu) return Allocate({}, bytes);
  Buffer buffer;
  buffer.data_ = cuda::AllocatePinned(peer.index, bytes);
  buffer.size_ = bytes;
  buffer.pinned_for_ = peer.index;
  return buffer;
}

Buffer::Buffer(Buffer&& other) noexcept { *this = std::move(other); }

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(device_, other.device_);
  std::swap(pinned_for_, other.pinned_for_);
  return *this;
}

Buffer::~Buffer() {
  if (device_.type == DeviceType::kCuda) {
    cuda::Free(device_.index, data_, size_);
  } else if (pinned_for_ >= 0) {
    cuda::FreePinned(pinned_for_, data_);
  } else {
    std::free(data_);
  }
}

// Streams with work in flight. Whoever waits progresses all of them: a peer may need a message of
// another stream before it can send what this one waits for.
namespace {
std::vector<Stream::Impl*>& AsyncStreams();
}

struct Stream::Impl {
  Mode mode = Mode::kCompute;
  std::deque<std::unique_ptr<Task>> tasks;
  uint64_t enqueued = 0;
  uint64_t completed = 0;
  Buffer scratch;
  Device device;
  cuda::QueuePtr queue;  // of a CUDA stream: destroyed, and so waited for, before the scratch

  void Poll() {
    while (!tasks.empty() && tasks.front()->Poll()) {
      tasks.pop_front();
      ++completed;
      Beat();
    }
  }
  void WaitFor(uint64_t ticket);
};

namespace {

std::vector<Stream::Impl*>& AsyncStreams() {
  static std::vector<Stream::Impl*> streams;
  return streams;
}

}  // namespace

void Stream::Impl::WaitFor(uint64_t ticket) {
  Patience patience;
  while (completed < ticket) {
    Poll();
    for (Impl* other : AsyncStreams()) other->Poll();
    if (patience.Lost() && completed < ticket)
      EndHung(patience.seconds(), tasks.front()->Describe());
  }
}

Stream::Stream(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Stream::Stream(Stream&&) noexcept = default;
Stream& Stream::operator=(Stream&& other) noexcept {
  std::swap(impl_, other.impl_);
  return *this;
}
Stream::~Stream() {
  if (impl_ != nullptr) std::erase(AsyncStreams(), impl_.get());
}

Stream Stream::Cpu(Mode mode) {
  auto impl = std::make_unique<Impl>();
  impl->mode = mode;
  if (mode == Mode::kAsync) AsyncStreams().push_back(impl.get());
  return Stream(std::move(impl));
}

Stream Stream::Cuda(int index, Mode mode) {
  auto impl = std::make_unique<Impl>();
  impl->mode = mode;
  impl->device = {DeviceType::kCuda, index};
  impl->queue = cuda::MakeQueue(index, mode);
  return Stream(std::move(impl));
}

Stream Stream::On(Device device, Mode mode) {
  return device.type == DeviceType::kCuda ? Cuda(device.index, mode) : Cpu(mode);
}

Device Stream::device() const { return impl_->device; }
cuda::Queue* Stream::cuda_queue() const { return impl_->queue.get(); }

void Stream::Synchronize() {
  if (impl_->queue != nullptr) return cuda::Synchronize(*impl_->queue);
  impl_->WaitFor(impl_->enqueued);
}

void Stream::Enqueue(std::unique_ptr<Task> task) {
  TL_CHECK(impl_->queue == nullptr) << "a task on " << ToString(impl_->device);
  impl_->tasks.push_back(std::move(task));
  ++impl_->enqueued;
  if (impl_->mode == Mode::kCompute)
    Synchronize();
  else
    impl_->Poll();
}

void Stream::Poll() {
  Beat();
  impl_->Poll();
}

void Stream::Wait(const Event& event) {
  if (event.mark_ != nullptr) {
    impl_->queue != nullptr ? cuda::Wait(*impl_->queue, *event.mark_)
                            : cuda::Synchronize(*event.mark_);
    return;
  }
  // Work on a CPU stream runs in the calling thread, so waiting here orders all that follows.
  if (event.stream_ != nullptr) event.stream_->WaitFor(event.ticket_);
}

std::byte* Stream::Scratch(size_t bytes) {
  if (impl_->scratch.size() < bytes) {
    if (impl_->queue != nullptr) cuda::Synchronize(*impl_->queue);
    impl_->scratch = Buffer();
    impl_->scratch = Buffer::Allocate(device(), bytes);
  }
  return impl_->scratch.data();
}

size_t Stream::scratch_bytes() const { return impl_->scratch.size(); }

Event Event::Record(Stream& stream) {
  Event event;
  event.stream_ = stream.impl_.get();
  event.ticket_ = stream.impl_->enqueued;
  if (stream.impl_->queue != nullptr) event.mark_ = cuda::Record(*stream.impl_->queue);
  return event;
}

bool Event::Query() const {
  if (mark_ != nullptr) return cuda::Query(*mark_);
  if (stream_ == nullptr) return true;
  stream_->Poll();
  return stream_->completed >= ticket_;
}

void CopyBytes(Stream& stream, std::byte* dst, const std::byte* src, size_t bytes) {
  if (stream.cuda_queue() != nullptr) {
    if (bytes > 0) cuda::Copy(*stream.cuda_queue(), dst, src, bytes);
    return;
  }
  stream.Synchronize();
  if (bytes > 0) std::memcpy(dst, src, bytes);  // an empty range may be null
}

void ZeroBytes(Stream& stream, std::byte* dst, size_t bytes) {
  if (stream.cuda_queue() != nullptr) {
    if (bytes > 0) cuda::Zero(*stream.cuda_queue(), dst, bytes);
    return;
  }
  stream.Synchronize();
  if (bytes > 0) std::memset(dst, 0, bytes);
}

}  // namespace tl
