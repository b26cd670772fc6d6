// SPDX-License-Identifier: Apache-2.0
// What must not stay in the file system when a signal ends the process.
#pragma once

#include <csignal>
#include <string>
#include <utility>

namespace tl {

// A file, or a folder with its files and those of its folders, that a signal's end of the process
// removes as long as this lives. From any thread: what is registered while the signal's handler
// runs is removed at once. At most 16 at a time, of paths below 4 KiB; what is beyond stays behind.
class RemoveOnSignal {
 public:
  explicit RemoveOnSignal(const std::string& path);
  RemoveOnSignal(RemoveOnSignal&& other) noexcept : slot_(std::exchange(other.slot_, -1)) {}
  RemoveOnSignal& operator=(RemoveOnSignal&& other) noexcept {
    std::swap(slot_, other.slot_);
    return *this;
  }
  ~RemoveOnSignal();

 private:
  int slot_;
};

// Keeps signals from this thread as long as it lives: from making something until it is registered.
class HoldSignals {
 public:
  HoldSignals();
  HoldSignals(const HoldSignals&) = delete;
  HoldSignals& operator=(const HoldSignals&) = delete;
  ~HoldSignals();

 private:
  sigset_t before_;
};

// Removes them, before the process ends. For signal handlers.
void RemoveWhatSignalsRemove();
// Makes the signals that end a process by default, crashes aside, remove them before they do.
// Ones that are ignored or handled stay so. Main thread, on which the removing is done.
void InstallEndSignals();

}  // namespace tl
