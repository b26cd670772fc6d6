// SPDX-License-Identifier: Apache-2.0
#include "base/crash.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <iterator>
#include <string>

#include "base/live_line.h"
#include "base/remove_on_signal.h"
#include "base/where.h"

namespace tl {
namespace {

struct Crash {
  int signal;
  const char* text;
};
constexpr Crash kCrashes[] = {{SIGSEGV, ": SIGSEGV, a bad memory access\n"},
                              {SIGBUS, ": SIGBUS, memory or a file behind it is gone\n"},
                              {SIGFPE, ": SIGFPE, an arithmetic error\n"},
                              {SIGILL, ": SIGILL, an instruction this processor does not have\n"},
                              {SIGABRT, ": SIGABRT\n"}};
struct sigaction g_before[std::size(kCrashes)];

// Only calls that a signal handler may make.
void OnCrash(int signal) {
  std::array<char, 1024> line;
  size_t used = 0;
  const auto add = [&](const char* text) {
    const size_t n = std::min(std::strlen(text), line.size() - used);
    std::memcpy(&line[used], text, n);
    used += n;
  };
  add("error: ");
  used += WriteWhere(&line[used], line.size() - used - 128);
  for (size_t i = 0; i < std::size(kCrashes); ++i) {
    if (kCrashes[i].signal != signal) continue;
    add(kCrashes[i].text);
    sigaction(signal, &g_before[i], nullptr);
  }
  EraseLiveLine();
  if (write(STDERR_FILENO, line.data(), used) < 0) {
    // Nobody to tell.
  }
  RemoveWhatSignalsRemove();
  raise(signal);  // delivered to the handler before ours when this one returns
}

[[noreturn]] void OnTerminate() {
  std::string what = "an exception of an unknown type";
  if (const std::exception_ptr error = std::current_exception()) {
    try {
      std::rethrow_exception(error);
    } catch (const std::exception& known) {
      what = known.what();
    } catch (...) {
    }
  }
  EraseLiveLine();
  std::fprintf(stderr, "error: %s: nobody caught: %s\n", Where().c_str(), what.c_str());
  std::abort();
}

}  // namespace

void InstallCrashHandlers() {
  // Its own stack, for the overflow of the main one.
  static std::array<std::byte, 64 << 10> stack;
  stack_t alternate{};
  alternate.ss_sp = stack.data();
  alternate.ss_size = stack.size();
  sigaltstack(&alternate, nullptr);
  struct sigaction action{};
  action.sa_handler = OnCrash;
  action.sa_flags = SA_ONSTACK;
  for (size_t i = 0; i < std::size(kCrashes); ++i)
    sigaction(kCrashes[i].signal, &action, &g_before[i]);
  std::set_terminate(OnTerminate);
}

void TakeFileSizeLimitAsError() { std::signal(SIGXFSZ, SIG_IGN); }

}  // namespace tl
