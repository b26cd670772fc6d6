// SPDX-License-Identifier: Apache-2.0
// The last words of a rank that crashes: rank, host, step and signal or exception, before the
// default takes its course (a backtrace by MPI, a core file), which ends the other ranks too.
#pragma once

namespace tl {

// Handles SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, and exceptions that nobody catches. Call after
// MPI's start: its handlers, and a sanitizer's, come after ours.
void InstallCrashHandlers();

// Makes a write beyond the limit on a file's size (`ulimit -f`) an error of that write (EFBIG), no
// longer a SIGXFSZ. First of all.
void TakeFileSizeLimitAsError();

}  // namespace tl
