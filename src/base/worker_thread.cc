// SPDX-License-Identifier: Apache-2.0
#include "base/worker_thread.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <chrono>
#include <utility>

#include "base/check.h"
#include "base/watchdog.h"

namespace tl {

WorkerThread::WorkerThread(int nice) {
  // Requests to stop are the main thread's; a crash of this one must still say where it was.
  sigset_t most, before;
  sigfillset(&most);
  for (const int crash : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) sigdelset(&most, crash);
  pthread_sigmask(SIG_SETMASK, &most, &before);
  thread_ = std::thread([this, nice] { Run(nice); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

WorkerThread::~WorkerThread() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    ends_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void WorkerThread::Post(std::function<absl::Status()> job) {
  TL_CHECK(!busy_) << "the worker has a job already";
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    job_ = std::move(job);
    busy_ = true;
  }
  changed_.notify_all();
}

void WorkerThread::Wait(const std::atomic<int64_t>& progress) {
  int64_t last = progress;
  std::unique_lock<std::mutex> lock(mutex_);
  while (busy_) {
    changed_.wait_for(lock, std::chrono::seconds(1));
    if (progress == last) continue;
    last = progress;
    Beat();
  }
}

void WorkerThread::Run(int nice) {
  if (nice > 0) setpriority(PRIO_PROCESS, static_cast<id_t>(syscall(SYS_gettid)), nice);
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return ends_ || job_ != nullptr; });
    if (job_ == nullptr) return;
    const std::function<absl::Status()> job = std::exchange(job_, nullptr);
    lock.unlock();
    absl::Status status = job();
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    cpu_seconds_ = static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
    lock.lock();
    status_ = std::move(status);
    busy_ = false;
    changed_.notify_all();
  }
}

}  // namespace tl
