// SPDX-License-Identifier: Apache-2.0
// Where data lives and work runs: devices, streams, events and owned memory. The CPU's stream runs
// an operation when it is called; only communication may be left in flight on it (see Task). A
// CUDA device's stream runs all its work later, in order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace tl {

enum class DeviceType : uint8_t { kCpu, kCuda };

struct Device {
  DeviceType type = DeviceType::kCpu;
  int index = 0;
  bool operator==(const Device&) const = default;
};

std::string ToString(Device device);

// Memory of one device. Owned by exactly one Buffer; tensors are views into it.
class Buffer {
 public:
  Buffer() = default;
  // 64-byte aligned (page-aligned from 2 MiB on, in huge pages where the system has them),
  // contents undefined. bytes = 0 gives a null buffer.
  static Buffer Allocate(Device device, size_t bytes);
  // Host memory for copies to and from the device: pinned for a CUDA device, plain for the CPU. Any
  // thread may ask for it.
  static Buffer AllocateHost(Device peer, size_t bytes);
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  ~Buffer();

  std::byte* data() const { return data_; }
  size_t size() const { return size_; }
  Device device() const { return device_; }

 private:
  std::byte* data_ = nullptr;
  size_t size_ = 0;
  Device device_;
  int pinned_for_ = -1;  // the CUDA device of pinned host memory
};

namespace cuda {
class Queue;
class Mark;
}  // namespace cuda

// Work in flight on a CPU stream: a state machine that a collective leaves behind.
class Task {
 public:
  virtual ~Task() = default;
  // Does what can be done now without waiting; true once complete.
  virtual bool Poll() = 0;
  // What it is and what it waits for: "all_reduce, call 7 of rank 0 ...".
  virtual std::string Describe() const = 0;
};

class Event;

// An ordered queue of work on one device. Owners move only. All streams belong to one thread.
class Stream {
 public:
  enum class Mode {
    kCompute,  // tasks complete before the call that enqueued them returns
    kAsync     // tasks stay in flight; Poll() and waits progress them, in order
  };  // On CUDA devices both stay in flight, and kAsync goes first.
  static Stream Cpu(Mode mode = Mode::kCompute);
  static Stream Cuda(int index, Mode mode = Mode::kCompute);
  static Stream On(Device device, Mode mode = Mode::kCompute);
  Stream(Stream&&) noexcept;
  Stream& operator=(Stream&&) noexcept;
  ~Stream();

  Device device() const;
  // Waits until all work is complete.
  void Synchronize();
  // CPU: runs the task to its end (kCompute) or queues it (kAsync).
  void Enqueue(std::unique_ptr<Task> task);
  // CPU: progresses tasks in flight without waiting. Called between ops of the compute stream, so
  // that it is also the sign of life of a rank that computes (base/watchdog.h).
  void Poll();
  // Later work on this stream runs after the event.
  void Wait(const Event& event);
  // Scratch memory for the op being enqueued; undefined contents, valid until the next op of this
  // stream. Grows to the largest request and stays.
  std::byte* Scratch(size_t bytes);
  size_t scratch_bytes() const;
  cuda::Queue* cuda_queue() const;  // null on the CPU

  struct Impl;

 private:
  friend class Event;
  explicit Stream(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// A point in a stream's work. Default-constructed events are complete.
class Event {
 public:
  Event() = default;
  // The point after all work now on the stream. The stream must outlive the event.
  static Event Record(Stream& stream);
  bool Query() const;  // progresses the stream

 private:
  friend class Stream;
  Stream::Impl* stream_ = nullptr;
  uint64_t ticket_ = 0;
  std::shared_ptr<cuda::Mark> mark_;  // of a CUDA stream
};

// dst and src on the stream's device or the host; ordered on the stream. Host memory that is not
// pinned makes the call wait; pinned memory stays untouched until the stream has passed the copy.
void CopyBytes(Stream& stream, std::byte* dst, const std::byte* src, size_t bytes);
void ZeroBytes(Stream& stream, std::byte* dst, size_t bytes);

}  // namespace tl
