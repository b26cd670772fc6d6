// SPDX-License-Identifier: Apache-2.0
// Watches the operations that NCCL has in flight, in a thread of its own: the one that made them
// may be waiting for a GPU that never finishes. An error of a communicator, or an operation that
// neither completes nor lets another one complete for the given time, is reported with rank, group,
// operation and sequence number; then the communicator is aborted and the job ended.
//
// NCCL lets one thread at a time into a communicator, and asking one for errors is no exception:
// ncclCommGetAsyncError joins the thread of the call before and frees it. So this thread asks while
// nobody calls, and the caller hears of its own errors. ncclCommAbort alone is made to come beside
// a call: it is what ends one that hangs.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "comm/nccl_api.h"
#include "device/device.h"

namespace tl {

class NcclWatchdog {
 public:
  // Of one communicator. All members are the watchdog's.
  class Watched;

  NcclWatchdog(Device device, double seconds);
  ~NcclWatchdog();

  // group: "data group, rank 1 of 2".
  std::shared_ptr<Watched> Watch(nccl::Comm comm, std::string group);
  void Forget(const std::shared_ptr<Watched>& watched);

  // This thread starts a call. what: "all_reduce of 4096 bytes".
  void Begin(Watched& watched, std::string what);
  // The call has been enqueued, and is complete when the event is.
  void Enqueued(Watched& watched, Event done);
  // A call that enqueues nothing, as of starting and ending a communicator, is over.
  void End(Watched& watched);
  // Before every question of a call whether it is done: does not return once the communicator is
  // about to be aborted, which frees it.
  static void KeepOut(const Watched& watched);

 private:
  using Clock = std::chrono::steady_clock;
  void Run();
  // Empty: all is well; else *exit_code is the job's.
  std::string Inspect(Watched& watched, Clock::time_point now, int* exit_code);

  const Device device_;
  const double seconds_;  // 0: for ever
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stop_ = false;
  std::vector<std::shared_ptr<Watched>> all_;
  std::thread thread_;
};

}  // namespace tl
