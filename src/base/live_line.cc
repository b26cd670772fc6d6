// SPDX-License-Identifier: Apache-2.0
#include "base/live_line.h"

#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <iterator>
#include <mutex>

#include "absl/strings/str_cat.h"
#include "base/screen.h"
#include "base/utf8.h"

namespace tl {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kBetween{100};
constexpr int kMostWait = 100;  // milliseconds
constexpr char kErase[] = "\r\033[K";

std::mutex g_mutex;
std::atomic<int> g_shown = -1;       // on which it is; -1: there is none
std::atomic<Clock::rep> g_last = 0;  // when one was shown

// A terminal that is stopped (Ctrl-S) takes nothing, nor does a launcher's pipe in the end: no
// reason to wait for it.
bool TakesText(int fd, int milliseconds) {
  pollfd poll_fd{.fd = fd, .events = POLLOUT, .revents = 0};
  return poll(&poll_fd, 1, milliseconds) > 0 && (poll_fd.revents & POLLOUT) != 0;
}

void Write(int fd, const char* text, size_t size) {
  if (write(fd, text, size) < 0) {
    // Nobody to tell.
  }
}

// Whether a job of the shell has this terminal that is not ours.
bool InBackground(int terminal) {
  const pid_t foreground = tcgetpgrp(terminal);
  return foreground > 0 && foreground != getpgrp();
}

struct Range {
  char32_t first, last;
};
// No column: marks on the character before, joiners, and controls beyond ASCII.
constexpr Range kNone[] = {{0x80, 0x9F}, {0x300, 0x36F}, {0x200B, 0x200F}, {0xFE00, 0xFE0F}};
// Two: Chinese, Japanese, Korean, and pictures.
constexpr Range kWide[] = {{0x1100, 0x115F},   {0x2E80, 0xA4CF},   {0xAC00, 0xD7A3},
                           {0xF900, 0xFAFF},   {0xFE30, 0xFE6F},   {0xFF00, 0xFF60},
                           {0xFFE0, 0xFFE6},   {0x1F300, 0x1F64F}, {0x1F680, 0x1F6FF},
                           {0x1F900, 0x1F9FF}, {0x20000, 0x3FFFD}};

template <size_t n>
bool In(char32_t c, const Range (&ranges)[n]) {
  for (const Range& range : ranges) {
    if (range.first <= c && c <= range.last) return true;
  }
  return false;
}

int Columns(char32_t c) { return In(c, kNone) ? 0 : In(c, kWide) ? 2 : 1; }

// The character of length bytes that UTF-8 text begins with.
char32_t FirstOf(absl::string_view text, size_t length) {
  auto c = static_cast<unsigned char>(text[0]);
  if (length == 1) return c;
  char32_t value = c & (0x7F >> length);
  for (size_t i = 1; i < length; ++i)
    value = value << 6 | (static_cast<unsigned char>(text[i]) & 0x3F);
  return value;
}

}  // namespace

std::string CutToColumns(absl::string_view text, int columns) {
  const std::string line = OneLine(text);
  std::string out;
  for (size_t at = 0, length = 0; at < line.size(); at += length) {
    length = 1;
    while (at + length < line.size() && (static_cast<unsigned char>(line[at + length]) >> 6) == 2)
      ++length;
    const absl::string_view character = absl::string_view(line).substr(at, length);
    const char32_t c = FirstOf(character, length);
    columns -= Columns(c);
    if (columns < 0) break;
    if (c < 0x80 || c > 0x9F) absl::StrAppend(&out, character);
  }
  return out;
}

bool LiveLineDue(int fd) {
  return ScreenOf(fd).in_place &&
         Clock::now().time_since_epoch() - Clock::duration(g_last) >= kBetween;
}

void ShowLiveLine(int fd, absl::string_view text) {
  const Screen& screen = ScreenOf(fd);
  if (!screen.in_place || (screen.terminal == fd && InBackground(fd))) return;
  const std::unique_lock lock(g_mutex, std::try_to_lock);
  if (!lock.owns_lock()) return;  // another line is being written
  if (!TakesText(fd, 0)) return;
  if (fd == STDOUT_FILENO) std::fflush(stdout);
  // In the last column some terminals go on to the next line.
  const std::string line =
      absl::StrCat("\r", CutToColumns(text, ScreenWidth(screen) - 1), &kErase[1]);
  g_shown = fd;
  Write(fd, line.data(), line.size());
  g_last = Clock::now().time_since_epoch().count();
}

bool EraseLiveLine() {
  const int fd = g_shown.exchange(-1);
  if (fd < 0) return false;
  if (TakesText(fd, kMostWait)) Write(fd, kErase, sizeof(kErase) - 1);
  return true;
}

int ProgressOutput() {
  const Screen& out = ScreenOf(STDOUT_FILENO);
  return out.in_place && out.terminal != STDOUT_FILENO ? STDOUT_FILENO : STDERR_FILENO;
}

NoLiveLine::NoLiveLine(int fd) {
  g_mutex.lock();
  const int shown = g_shown;
  // A launcher gets the two apart, and perhaps what comes on `fd` first.
  if (EraseLiveLine() && shown != fd && ScreenOf(fd).in_place && ScreenOf(fd).terminal != fd)
    Write(fd, kErase, sizeof(kErase) - 1);
}
NoLiveLine::~NoLiveLine() { g_mutex.unlock(); }

}  // namespace tl
