// SPDX-License-Identifier: Apache-2.0
#include "base/check.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <iostream>

#include "base/exit_code.h"
#include "base/live_line.h"

namespace tl {
namespace {

FatalHandler g_fatal_handler = nullptr;
int g_log_rank = -1;

}  // namespace

void SetFatalHandler(FatalHandler handler) { g_fatal_handler = handler; }
void SetLogRank(int rank) { g_log_rank = rank; }
int LogRank() { return g_log_rank; }

void Fatal(int exit_code) {
  if (g_fatal_handler != nullptr) g_fatal_handler(exit_code);
  if (exit_code != kExitError) _exit(exit_code);
  std::abort();
}

namespace internal {

CheckFailure::CheckFailure(const char* file, int line, const char* condition) {
  stream_ << file << ":" << line << ": ";
  if (g_log_rank >= 0) stream_ << "rank " << g_log_rank << ": ";
  stream_ << "check failed: " << condition << " ";
}

CheckFailure::~CheckFailure() {
  const std::string message = stream_.str();
  EraseLiveLine();
  std::fprintf(stderr, "%s\n", message.c_str());
  std::fflush(stderr);
  Fatal(kExitError);
}

}  // namespace internal
}  // namespace tl
