// SPDX-License-Identifier: Apache-2.0
// Where this process is: rank, host, step and what it is doing, for messages about crashes and
// hangs. Written by the main thread; read by any thread and by signal handlers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace tl {

std::string HostName();

// Sets the step that is being run, counted from 1; 0: none (the default).
void SetStep(int64_t step);

// Names what goes on as long as it lives: "reading data". The text lives for ever.
class Doing {
 public:
  explicit Doing(const char* what);
  Doing(const Doing&) = delete;
  Doing& operator=(const Doing&) = delete;
  ~Doing();
  static const char* Now();  // null: nothing named

 private:
  const char* before_;
};

// Writes "rank 1 on node7, in step 42, reading data", without a rank where LogRank() has none: at
// most size - 1 bytes and a zero. Returns how many bytes. For signal handlers too.
size_t WriteWhere(char* out, size_t size);
std::string Where();

}  // namespace tl
