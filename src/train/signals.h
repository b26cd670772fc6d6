// SPDX-License-Identifier: Apache-2.0
// Requests to stop a training before its end: signals to this process. The handlers only set a
// flag; the ranks agree on it at the end of a step, so that all save the same step.
#pragma once

#include <csignal>
#include <cstdint>
#include <string>

namespace tl {

// Where ranks have several reasons the largest counts.
enum class StopReason : int32_t {
  kNone,
  kPipe,       // SIGPIPE: who read the output is gone
  kHangup,     // SIGHUP: the terminal is gone
  kTimeLimit,  // [checkpoint] time_limit
  kUser,       // SIGUSR1: what a batch system sends ahead of the end of a job's time
  kTerminate,  // SIGTERM
  kInterrupt   // SIGINT
};

// What asks for a stop.
inline constexpr int kStopSignals[] = {SIGUSR1, SIGPIPE, SIGHUP, SIGTERM, SIGINT};

// A batch system may send SIGUSR1 before a process listens, whose end it would be: from now on it
// waits for InstallStopSignals. Before other threads are made.
void HoldUserSignal();
// From now on the stop signals ask for a stop, but for SIGHUP and SIGPIPE where they are ignored,
// as nohup arranges. Main thread, after InstallCrashHandlers, on whose stack they are handled.
// After the first SIGINT the next one ends the process at once.
void InstallStopSignals();
// The strongest signal so far.
StopReason StopSignal();

// "SIGUSR1"
const char* Name(StopReason reason);
// 0 for kNone; 85 for the time limit and SIGUSR1; 128 + the signal for the others.
int ExitCodeOf(StopReason reason);

}  // namespace tl
