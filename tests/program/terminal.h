// SPDX-License-Identifier: Apache-2.0
// Runs a shell's line on a pseudo-terminal, as a person would see it.
#pragma once

#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <string>

#include "tests/program/job.h"

namespace tl {

struct Seen {
  int status = 0;     // of waitpid
  std::string bytes;  // all that came, in order
  int exit_code() const { return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status); }
};

// Runs a line as a terminal's foreground job of so many columns; its stdout and stderr are the
// terminal unless the line says otherwise. signal_at: as soon as this has been seen, the line's
// process gets the signal. typed: on the keyboard, before anything else.
inline Seen RunOnTerminal(const std::string& line, int columns = 100,
                          const std::string& signal_at = "", int signal = SIGINT,
                          const std::string& typed = "") {
  Seen seen;
  winsize size{};
  size.ws_row = 24;
  size.ws_col = static_cast<unsigned short>(columns);
  int terminal = -1;
  const pid_t child = forkpty(&terminal, nullptr, nullptr, &size);
  if (child == 0) {
    execl("/bin/sh", "sh", "-c", ("exec " + line).c_str(), nullptr);
    _exit(127);
  }
  if (!typed.empty()) {
    EXPECT_EQ(write(terminal, typed.data(), typed.size()), ssize_t(typed.size()));
  }
  std::array<char, 4096> buffer;
  bool sent = signal_at.empty();
  while (true) {
    const ssize_t n = read(terminal, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;  // EIO: all have closed it
    seen.bytes.append(buffer.data(), static_cast<size_t>(n));
    if (!sent && seen.bytes.find(signal_at) != std::string::npos) {
      sent = true;
      // As Ctrl-C: to all of the foreground.
      kill(-tcgetpgrp(terminal), signal);
    }
  }
  waitpid(child, &seen.status, 0);
  close(terminal);
  return seen;
}

// What stays on the screen, line by line: what a terminal makes of carriage returns, ends of lines
// and the erasing of a line's end. Colours are dropped.
inline std::string LeftOnScreen(const std::string& bytes) {
  std::string all, line;
  size_t column = 0;
  for (size_t i = 0; i < bytes.size(); ++i) {
    const char c = bytes[i];
    if (c == '\r') {
      column = 0;
    } else if (c == '\n') {
      all += line + "\n";
      line.clear();
      column = 0;
    } else if (c == '\033' && bytes.compare(i, 3, "\033[K") == 0) {
      line.resize(column);
      i += 2;
    } else if (c == '\033') {
      i = bytes.find('m', i);
      if (i == std::string::npos) return all + line + "a control that is no colour";
    } else {
      line.resize(std::max(line.size(), column + 1), ' ');
      line[column++] = c;
    }
  }
  return all + line;
}

}  // namespace tl
