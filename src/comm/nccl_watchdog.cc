// SPDX-License-Identifier: Apache-2.0
#include "comm/nccl_watchdog.h"

#include <unistd.h>

#include <atomic>
#include <cmath>
#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/exit_code.h"
#include "base/live_line.h"
#include "base/watchdog.h"
#include "base/where.h"
#include "comm/host.h"
#include "device/cuda_device.h"

namespace tl {
namespace {

constexpr auto kInterval = std::chrono::milliseconds(100);
// Other ranks that are stuck too get to say where before this one ends them all.
constexpr auto kLastWords = std::chrono::milliseconds(500);

// Empty where the communicator has none. For a thread that has it to itself.
std::string ErrorOf(nccl::Comm comm) {
  nccl::Result error = nccl::kSuccess;
  if (nccl::GetLibrary().CommGetAsyncError(comm, &error) != nccl::kSuccess)
    error = nccl::kInternalError;
  const bool well = error == nccl::kSuccess || error == nccl::kInProgress;
  return well ? "" : nccl::ErrorText(error, comm);
}

}  // namespace

class NcclWatchdog::Watched {
 public:
  struct Operation {
    int64_t sequence = 0;
    std::string what;
    Event done;
  };

  nccl::Comm comm = nullptr;
  std::string group;
  int64_t operations = 0;  // begun
  bool calling = false;    // the last of them has not returned
  std::string call;
  std::deque<Operation> in_flight;
  std::string last_complete = "none";
  Clock::time_point moved = Clock::now();  // when something last began or completed with nothing
                                           // before it
  std::atomic<bool> ends = false;          // about to be aborted
};

NcclWatchdog::NcclWatchdog(Device device, double seconds)
    : device_(device), seconds_(seconds), thread_([this] { Run(); }) {}

NcclWatchdog::~NcclWatchdog() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

std::shared_ptr<NcclWatchdog::Watched> NcclWatchdog::Watch(nccl::Comm comm, std::string group) {
  auto watched = std::make_shared<Watched>();
  watched->comm = comm;
  watched->group = std::move(group);
  watched->operations = 1;
  watched->calling = true;
  watched->call = "init";
  const std::lock_guard lock(mutex_);
  all_.push_back(watched);
  return watched;
}

void NcclWatchdog::Forget(const std::shared_ptr<Watched>& watched) {
  const std::lock_guard lock(mutex_);
  std::erase(all_, watched);
}

void NcclWatchdog::Begin(Watched& watched, std::string what) {
  const std::lock_guard lock(mutex_);
  if (watched.in_flight.empty()) watched.moved = Clock::now();
  ++watched.operations;
  watched.calling = true;
  watched.call = std::move(what);
}

void NcclWatchdog::Enqueued(Watched& watched, Event done) {
  const std::lock_guard lock(mutex_);
  watched.calling = false;
  watched.in_flight.push_back({watched.operations, std::move(watched.call), std::move(done)});
}

void NcclWatchdog::End(Watched& watched) {
  const std::lock_guard lock(mutex_);
  watched.calling = false;
}

void NcclWatchdog::KeepOut(const Watched& watched) {
  while (watched.ends) pause();
}

std::string NcclWatchdog::Inspect(Watched& watched, Clock::time_point now, int* exit_code) {
  *exit_code = kExitError;
  while (!watched.in_flight.empty() && watched.in_flight.front().done.Query()) {
    const Watched::Operation& done = watched.in_flight.front();
    watched.last_complete = absl::StrCat(done.what, ", operation ", done.sequence);
    watched.in_flight.pop_front();
    watched.moved = now;
  }
  std::string where = "nothing in flight";
  if (!watched.in_flight.empty()) {
    const Watched::Operation& next = watched.in_flight.front();
    where = absl::StrCat(next.what, ", operation ", next.sequence, ", is in flight");
  } else if (watched.calling) {
    where = absl::StrCat(watched.call, ", operation ", watched.operations, ", has not returned");
  }
  // Begin takes the same lock before it calls.
  std::string trouble = watched.calling ? "" : ErrorOf(watched.comm);
  if (trouble.empty()) {
    if (watched.in_flight.empty() && !watched.calling) return "";
    Beat();
    const double still = std::chrono::duration<double>(now - watched.moved).count();
    if (seconds_ <= 0 || still < seconds_) return "";
    *exit_code = kExitHung;
    trouble = absl::StrFormat("no progress for %.0f s", std::floor(still));
  }
  return absl::StrCat("NCCL, ", watched.group, ": ", trouble, ": ", where,
                      "; last complete: ", watched.last_complete);
}

void NcclWatchdog::Run() {
  cuda::MakeCurrent(device_.index);  // else asking for an event would start device 0
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, kInterval, [this] { return stop_; })) {
    for (const std::shared_ptr<Watched>& watched : all_) {
      int exit_code = kExitError;
      const std::string trouble = Inspect(*watched, Clock::now(), &exit_code);
      if (trouble.empty()) continue;
      EraseLiveLine();
      std::fprintf(stderr, "error: %s: %s\n", Where().c_str(), trouble.c_str());
      std::fflush(stderr);
      // A call that asks whether it is done leaves meanwhile, one that hangs is what abort is for.
      watched->ends = true;
      std::this_thread::sleep_for(kLastWords);
      nccl::GetLibrary().CommAbort(watched->comm);
      // MPI is another thread's, but that one may wait for ever, and MPI_Abort only tells the
      // launcher.
      AbortJob(exit_code);
    }
  }
}

}  // namespace tl
