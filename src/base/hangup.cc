// SPDX-License-Identifier: Apache-2.0
#include "base/hangup.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <cstddef>

namespace tl {
namespace {

using Handler = void (*)(int);

// What sigaction(2) of the kernel fills: the handler comes first; the rest differs by processor.
struct KernelAction {
  Handler handler;
  std::byte rest[64];
};
constexpr size_t kKernelSignals = 8;  // bytes of its signal sets

Handler g_at_start = SIG_DFL;

// Runs before the constructors of all libraries, so before those of sanitizers too: no function
// that they intercept or instrument.
[[gnu::no_sanitize("address", "undefined", "thread")]] void LookAtHangup(int, char**, char**) {
  KernelAction action;
  if (syscall(SYS_rt_sigaction, SIGHUP, nullptr, &action, kKernelSignals) == 0)
    g_at_start = action.handler;
}
[[gnu::section(".preinit_array"), gnu::used]] void (*const g_look)(int, char**,
                                                                   char**) = LookAtHangup;

}  // namespace

void RestoreHangup() {
  struct sigaction action{};
  // A handler does not outlive exec.
  action.sa_handler = g_at_start;
  sigaction(SIGHUP, &action, nullptr);
}

}  // namespace tl
