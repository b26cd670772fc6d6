// SPDX-License-Identifier: Apache-2.0
#include "base/watchdog.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <thread>

#include "base/check.h"
#include "base/exit_code.h"
#include "base/live_line.h"
#include "base/where.h"

namespace tl {
namespace {

using Clock = std::chrono::steady_clock;

// Polls between looks at the clock; a poll takes from 0.1 to a few microseconds.
constexpr uint64_t kTurnsPerLook = 64;
// A longer gap between two looks means that this process did not run.
constexpr double kLongestGap = 1.0;
constexpr std::chrono::seconds kOthersSpeak{1};
constexpr double kShortWait = 5.0;

std::atomic<double> g_seconds = 0.0;
std::atomic<bool> g_short = false;
std::atomic<uint64_t> g_beats = 0;
std::atomic<uint64_t> g_looks = 0;

void Print(double seconds, const std::string& what) {
  EraseLiveLine();
  std::fprintf(stderr, "error: %s: no progress for %.0f s: %s\n", Where().c_str(),
               std::floor(seconds), what.c_str());
}

void Watch() {
  uint64_t seen = 0;
  double quiet = 0;
  for (auto last = Clock::now();;) {
    const double limit = g_seconds;
    const double tick = limit > 0 ? std::clamp(limit / 20, 0.01, 0.5) : 0.5;
    std::this_thread::sleep_for(std::chrono::duration<double>(tick));
    const auto now = Clock::now();
    const double gap = std::chrono::duration<double>(now - last).count();
    last = now;
    const uint64_t alive = g_beats + g_looks;
    quiet = alive == seen ? quiet + std::min(gap, kLongestGap) : 0;
    seen = alive;
    if (limit <= 0 || quiet < limit) continue;
    Print(quiet, "outside of collectives, in the program or a call of a library");
    std::this_thread::sleep_for(kOthersSpeak);
    // Not by MPI, which belongs to the main thread: the launcher ends the others.
    _exit(kExitHung);
  }
}

}  // namespace

void Beat() { g_beats.fetch_add(1, std::memory_order_relaxed); }

void StartWatchdog(double seconds) {
  g_seconds = seconds;
  static bool started = false;
  if (started || seconds <= 0) return;
  started = true;
  std::thread(Watch).detach();  // also watches over the end of the process
}

void ShortenWaits() { g_short = true; }

bool Patience::Lost() { return ++turns_ % kTurnsPerLook == 0 && Look(); }

bool Patience::Look() {
  const auto now = Clock::now();
  g_looks.fetch_add(1, std::memory_order_relaxed);
  const uint64_t beats = g_beats.load(std::memory_order_relaxed);
  const bool first = turns_ == kTurnsPerLook;
  if (first || beats != beats_)
    waited_ = 0;
  else
    waited_ += std::min(std::chrono::duration<double>(now - last_).count(), kLongestGap);
  beats_ = beats;
  last_ = now;
  if (g_short && waited_ >= kShortWait && Doing::Now() == nullptr) return true;
  const double limit = g_seconds.load(std::memory_order_relaxed);
  return limit > 0 && waited_ >= limit;
}

void EndHung(double seconds, const std::string& what) {
  Print(seconds, what);
  std::this_thread::sleep_for(kOthersSpeak);
  Fatal(kExitHung);
}

}  // namespace tl
