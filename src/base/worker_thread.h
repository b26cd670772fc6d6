// SPDX-License-Identifier: Apache-2.0
// One thread that does one job at a time while the main thread goes on.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "absl/status/status.h"

namespace tl {

class WorkerThread {
 public:
  // nice: how far it stands back behind other threads, 0 to 19. Signals are left to those.
  explicit WorkerThread(int nice);
  // Waits for the job in progress.
  ~WorkerThread();

  // Starts a job; the one before must be done.
  void Post(std::function<absl::Status()> job);
  bool busy() const { return busy_; }
  // Waits for the job; calls Beat of the watchdog as long as `progress` changes.
  void Wait(const std::atomic<int64_t>& progress);
  // Tells the end of the last job, once it is done.
  const absl::Status& status() const { return status_; }
  // CPU seconds of all jobs so far.
  double cpu_seconds() const { return cpu_seconds_; }

 private:
  void Run(int nice);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::function<absl::Status()> job_;
  absl::Status status_;
  std::atomic<bool> busy_ = false;
  std::atomic<double> cpu_seconds_ = 0;
  bool ends_ = false;
  std::thread thread_;
};

}  // namespace tl
