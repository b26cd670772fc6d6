// Where data lives and work runs: devices, streams, events and owned memory. The CPU's stream runs
// an operation when it is called; only communication may be left in flight on it (see Task).
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
};

// Work in flight on a CPU stream: a state machine that a collective leaves behind.
class Task {
 public:
  virtual ~Task() = default;
  // Does what can be done now without waiting; true once complete.
  virtual bool Poll() = 0;
};

class Event;

// An ordered queue of work on one device. Owners move only. On the CPU all streams belong to one
// thread.
class Stream {
 public:
  enum class Mode {
    kCompute,  // tasks complete before the call that enqueued them returns
    kAsync     // tasks stay in flight; Poll() and waits progress them, in order
  };
  static Stream Cpu(Mode mode = Mode::kCompute);
  Stream(Stream&&) noexcept;
  Stream& operator=(Stream&&) noexcept;
  ~Stream();

  Device device() const;
  // Waits until all work is complete.
  void Synchronize();
  // CPU: runs the task to its end (kCompute) or queues it (kAsync).
  void Enqueue(std::unique_ptr<Task> task);
  // CPU: progresses tasks in flight without waiting. Called between ops of the compute stream.
  void Poll();
  // Later work on this stream runs after the event.
  void Wait(const Event& event);
  // Scratch memory for the op being enqueued; undefined contents, valid until the next op of this
  // stream. Grows to the largest request and stays.
  std::byte* Scratch(size_t bytes);
  size_t scratch_bytes() const;

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
};

// dst and src on any devices; ordered on the stream.
void CopyBytes(Stream& stream, std::byte* dst, const std::byte* src, size_t bytes);
void ZeroBytes(Stream& stream, std::byte* dst, size_t bytes);

}  // namespace tl
