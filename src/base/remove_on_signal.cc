// SPDX-License-Identifier: Apache-2.0
#include "base/remove_on_signal.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <iterator>

#include "base/live_line.h"

namespace tl {
namespace {

constexpr int kEndSignals[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGPIPE, SIGALRM,
                               SIGTERM, SIGUSR1, SIGUSR2, SIGXCPU};

// kSpent: a signal's handler has read its path, or may still; nobody else takes it again.
enum State : int { kFree, kTaken, kSet, kSpent };
struct Slot {
  std::atomic<int> state = kFree;
  std::array<char, 4096> path;
};
std::array<Slot, 16> g_slots;
std::atomic<bool> g_ending = false;  // a handler has begun to go through them
std::atomic<int> g_holding = 0;      // HoldSignals that live, on all threads
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<bool>::is_always_lock_free);

pthread_t g_main;

// As getdents64(2) fills it; opendir is not for signal handlers.
struct Entry {
  uint64_t inode;
  int64_t offset;
  uint16_t bytes;
  uint8_t type;
  char name[1];
};

constexpr int kDepth = 2;  // of the folders that are made: a folder's files and its folders' files

// Only calls that a signal handler may make, here and below.
void RemoveAt(int parent, const char* name, int depth);

void RemoveAllIn(int folder, int depth) {
  alignas(Entry) std::array<char, 2048> entries;
  long size = 0;
  while ((size = syscall(SYS_getdents64, folder, entries.data(), entries.size())) > 0) {
    for (long at = 0; at < size;) {
      const auto* entry = reinterpret_cast<const Entry*>(&entries[at]);
      if (strcmp(entry->name, ".") != 0 && strcmp(entry->name, "..") != 0)
        RemoveAt(folder, entry->name, depth);
      at += entry->bytes;
    }
  }
}

void RemoveAt(int parent, const char* name, int depth) {
  if (unlinkat(parent, name, 0) == 0 || depth == 0) return;
  const int folder = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (folder < 0) return;
  // Once more where a file was made meanwhile, or a reader of the folder passes over some.
  for (int turn = 0; turn < 4; ++turn) {
    lseek(folder, 0, SEEK_SET);
    RemoveAllIn(folder, depth - 1);
    if (unlinkat(parent, name, AT_REMOVEDIR) == 0) break;
  }
  close(folder);
}

void Remove(const char* path) { RemoveAt(AT_FDCWD, path, kDepth); }

// Waits for what other threads are about to register; not for ever, since a crash may have come in
// the midst of that.
void AwaitRegistrations() {
  constexpr timespec kTurn = {.tv_sec = 0, .tv_nsec = 1'000'000};
  for (int turn = 0; turn < 100 && g_holding > 0; ++turn) nanosleep(&kTurn, nullptr);
}

void OnEndSignal(int signal) {
  // On one thread, so that the handlers of several signals come one after another.
  if (pthread_equal(pthread_self(), g_main) == 0) {
    pthread_kill(g_main, signal);
    return;
  }
  EraseLiveLine();
  RemoveWhatSignalsRemove();
  struct sigaction by_default{};
  by_default.sa_handler = SIG_DFL;
  sigaction(signal, &by_default, nullptr);
  raise(signal);  // delivered when this returns
}

}  // namespace

RemoveOnSignal::RemoveOnSignal(const std::string& path) : slot_(-1) {
  if (path.size() >= std::size(g_slots[0].path)) return;
  for (size_t i = 0; i < g_slots.size() && slot_ < 0; ++i) {
    int free = kFree;
    if (g_slots[i].state.compare_exchange_strong(free, kTaken)) slot_ = static_cast<int>(i);
  }
  if (slot_ < 0) return;
  std::copy_n(path.c_str(), path.size() + 1, g_slots[slot_].path.begin());
  g_slots[slot_].state = kSet;
  // A handler on the main thread may have gone past this slot.
  if (g_ending) Remove(path.c_str());
}

RemoveOnSignal::~RemoveOnSignal() {
  int set = kSet;
  if (slot_ >= 0) g_slots[slot_].state.compare_exchange_strong(set, kFree);
}

HoldSignals::HoldSignals() {
  sigset_t ends;
  sigemptyset(&ends);
  for (const int signal : kEndSignals) sigaddset(&ends, signal);
  pthread_sigmask(SIG_BLOCK, &ends, &before_);
  ++g_holding;
  if (!g_ending) return;
  --g_holding;
  for (;;) pause();  // the process ends; nothing more is made
}

HoldSignals::~HoldSignals() {
  --g_holding;
  pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

void RemoveWhatSignalsRemove() {
  const int before = errno;
  g_ending = true;
  AwaitRegistrations();
  for (Slot& slot : g_slots) {
    int set = kSet;
    if (slot.state.compare_exchange_strong(set, kSpent)) Remove(slot.path.data());
  }
  errno = before;
}

void InstallEndSignals() {
  g_main = pthread_self();
  struct sigaction action{};
  action.sa_handler = OnEndSignal;
  action.sa_flags = SA_RESTART | SA_ONSTACK;  // on InstallCrashHandlers' stack, as train/signals.cc
  for (const int signal : kEndSignals) {
    struct sigaction before{};
    sigaction(signal, nullptr, &before);
    if ((before.sa_flags & SA_SIGINFO) == 0 && before.sa_handler == SIG_DFL)
      sigaction(signal, &action, nullptr);
  }
}

}  // namespace tl
