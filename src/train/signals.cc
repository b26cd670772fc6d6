#include "train/signals.h"

#include <unistd.h>

#include <atomic>

#include "base/exit_code.h"
#include "base/watchdog.h"

namespace tl {
namespace {

std::atomic<int32_t> g_reason = 0;
static_assert(std::atomic<int32_t>::is_always_lock_free);

// Only calls that a signal handler may make.
void OnSignal(int signal) {
  StopReason reason = StopReason::kUser;
  if (signal == SIGTERM) {
    reason = StopReason::kTerminate;
    ShortenWaits();
  }
  if (signal == SIGINT) {
    reason = StopReason::kInterrupt;
    struct sigaction by_default {};
    by_default.sa_handler = SIG_DFL;
    sigaction(SIGINT, &by_default, nullptr);
    constexpr char kText[] = "\nsaving after this step; once more ends at once\n";
    if (write(STDERR_FILENO, kText, sizeof(kText) - 1) < 0) {
      // Nobody to tell.
    }
  }
  const auto value = static_cast<int32_t>(reason);
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
  struct sigaction action {};
  action.sa_handler = OnSignal;
  // On InstallCrashHandlers' stack: oneDNN's products for AVX and AVX2 point the stack pointer into
  // a buffer of the heap meanwhile, where the frame of a handler would overwrite what lies before
  // it.
  action.sa_flags = SA_RESTART | SA_ONSTACK;
  for (const int signal : kStopSignals) sigaction(signal, &action, nullptr);
  MaskUserSignal(SIG_UNBLOCK);
}

StopReason StopSignal() { return static_cast<StopReason>(g_reason.load()); }

const char* Name(StopReason reason) {
  switch (reason) {
    case StopReason::kNone:
      return "none";
    case StopReason::kTimeLimit:
      return "[checkpoint] time_limit";
    case StopReason::kUser:
      return "SIGUSR1";
    case StopReason::kTerminate:
      return "SIGTERM";
    case StopReason::kInterrupt:
      return "SIGINT";
  }
  return "?";
}

int ExitCodeOf(StopReason reason) {
  switch (reason) {
    case StopReason::kNone:
      return kExitDone;
    case StopReason::kTimeLimit:
    case StopReason::kUser:
      return kExitRequeue;
    case StopReason::kTerminate:
      return 128 + SIGTERM;
    case StopReason::kInterrupt:
      return 128 + SIGINT;
  }
  return kExitError;
}

}  // namespace tl
