// SPDX-License-Identifier: Apache-2.0
// Finds out that a rank hangs, and ends the job. Whatever makes progress calls Beat(). Two look on:
//   - a loop that waits for others asks its Patience, which knows what it waits for;
//   - a thread ends the job where the main thread neither beats nor turns in such a loop: a read
//     that never returns, a library call that blocks.
// Time in which this process was itself stopped (SIGSTOP, a suspended job) does not count.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace tl {

// Any thread; a few nanoseconds.
void Beat();

// Starts the thread that ends a rank without progress for so long; 0: never. Called again, it
// changes the limit.
void StartWatchdog(double seconds);

// This process was asked to end: from now on a wait in a step may last 5 s. Where a rank has died
// SLURM asks the others to end, which would wait for it until they are killed half a minute later.
// Saves and what else is named (Doing) keep their time. For signal handlers.
void ShortenWaits();

class Patience {
 public:
  // Called in each turn of a loop that polls. True once the limit has passed without a Beat.
  bool Lost();
  double seconds() const { return waited_; }  // without progress

 private:
  bool Look();

  uint64_t turns_ = 0;
  uint64_t beats_ = 0;
  double waited_ = 0;
  std::chrono::steady_clock::time_point last_;
};

// Prints that this rank has waited so long, and for what; ends the job with kExitHung a second
// later, so that other ranks can say theirs. Main thread.
[[noreturn]] void EndHung(double seconds, const std::string& what);

}  // namespace tl
