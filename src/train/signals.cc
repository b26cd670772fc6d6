// SPDX-License-Identifier: Apache-2.0
#include "train/signals.h"

#include <unistd.h>

#include <atomic>
#include <cstring>

#include "base/exit_code.h"
#include "base/live_line.h"
#include "base/watchdog.h"

namespace tl {
namespace {

std::atomic<int32_t> g_reason = 0;
static_assert(std::atomic<int32_t>::is_always_lock_free);

struct Stop {
  StopReason reason;
  int signal;  // 0: none
  const char* name;
};
// In the order of the reasons.
constexpr Stop kStops[] = {{StopReason::kNone, 0, "none"},
                           {StopReason::kPipe, SIGPIPE, "SIGPIPE"},
                           {StopReason::kHangup, SIGHUP, "SIGHUP"},
                           {StopReason::kTimeLimit, 0, "[checkpoint] time_limit"},
                           {StopReason::kUser, SIGUSR1, "SIGUSR1"},
                           {StopReason::kTerminate, SIGTERM, "SIGTERM"},
                           {StopReason::kInterrupt, SIGINT, "SIGINT"}};
static_assert([] {
  int32_t next = 0;
  for (const Stop& stop : kStops) {
    if (static_cast<int32_t>(stop.reason) != next++) return false;
  }
  return true;
}());
const Stop& StopOf(StopReason reason) { return kStops[static_cast<int32_t>(reason)]; }

// Only calls that a signal handler may make.
void OnSignal(int signal) {
  if (signal == SIGTERM) ShortenWaits();
  if (signal == SIGINT) {
    struct sigaction by_default{};
    by_default.sa_handler = SIG_DFL;
    sigaction(SIGINT, &by_default, nullptr);
    constexpr char kText[] = "\nsaving after this step; once more ends at once\n";
    // Below the "^C" that the terminal wrote, if that was not erased with the live line.
    const char* text = EraseLiveLine() ? &kText[1] : kText;
    if (write(STDERR_FILENO, text, strlen(text)) < 0) {
      // Nobody to tell.
    }
  }
  int32_t value = 0;
  for (const Stop& stop : kStops) {
    if (stop.signal == signal) value = static_cast<int32_t>(stop.reason);
  }
  int32_t before = g_reason;
  while (before < value && !g_reason.compare_exchange_weak(before, value)) {
  }
}

// Masks SIGUSR1 for this thread and those that it makes, or no longer.
void MaskUserSignal(int how) {
  sigset_t user;
  sigemptyset(&user);
  sigaddset(&user, SIGUSR1);
  pthread_sigmask(how, &user, nullptr);
}

}  // namespace

void HoldUserSignal() { MaskUserSignal(SIG_BLOCK); }

void InstallStopSignals() {
  struct sigaction action{};
  action.sa_handler = OnSignal;
  // On InstallCrashHandlers' stack: oneDNN's products for AVX and AVX2 point the stack pointer into
  // a buffer of the heap meanwhile, where the frame of a handler would overwrite what lies before
  // it.
  action.sa_flags = SA_RESTART | SA_ONSTACK;
  for (const int signal : kStopSignals) {
    struct sigaction before{};
    sigaction(signal, nullptr, &before);
    const bool may_be_ignored = signal == SIGHUP || signal == SIGPIPE;
    if (may_be_ignored && before.sa_handler == SIG_IGN) continue;
    sigaction(signal, &action, nullptr);
  }
  MaskUserSignal(SIG_UNBLOCK);
}

StopReason StopSignal() { return static_cast<StopReason>(g_reason.load()); }

const char* Name(StopReason reason) { return StopOf(reason).name; }

int ExitCodeOf(StopReason reason) {
  if (reason == StopReason::kNone) return kExitDone;
  const bool again = reason == StopReason::kTimeLimit || reason == StopReason::kUser;
  return again ? kExitRequeue : 128 + StopOf(reason).signal;
}

}  // namespace tl
