// SPDX-License-Identifier: Apache-2.0
#include "base/screen.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

namespace tl {
namespace {

constexpr int kDefaultWidth = 80;
constexpr int kMostParents = 16;  // scripts between a launcher and its rank

Screen g_out, g_err;

std::string Read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string LinkAt(const std::string& path) {
  std::array<char, 256> target;
  const ssize_t n = readlink(path.c_str(), target.data(), target.size());
  return n > 0 ? std::string(target.data(), static_cast<size_t>(n)) : "";
}

// A process that starts ranks and passes on what they print.
struct Launcher {
  int pid = 0;                // 0: none
  bool passes_parts = false;  // of lines, as they come
};

// Looks for one among this process's parents.
Launcher FindLauncher() {
  int pid = getppid();
  for (int i = 0; i < kMostParents && pid > 1; ++i) {
    // "26912 (mpirun) S 26908 ...": a name may hold blanks and brackets.
    const std::string stat = Read(absl::StrCat("/proc/", pid, "/stat"));
    const size_t begin = stat.find('('), end = stat.rfind(") ");
    if (begin == std::string::npos || end == std::string::npos) return {};
    const absl::string_view name = absl::string_view(stat).substr(begin + 1, end - begin - 1);
    for (const char* known : {"mpirun", "mpiexec", "orterun"}) {
      if (absl::StartsWith(name, known)) return {.pid = pid, .passes_parts = true};
    }
    // PRRTE, of Open MPI 5, waits for the end of a line.
    for (const char* known : {"prterun", "prun"}) {
      if (absl::StartsWith(name, known)) return {.pid = pid};
    }
    const std::vector<absl::string_view> fields =
        absl::StrSplit(absl::string_view(stat).substr(end + 2), ' ');
    if (fields.size() < 2 || !absl::SimpleAtoi(fields[1], &pid)) return {};
  }
  return {};
}

// Whether a launcher was asked to change what it passes on, or to write it elsewhere.
bool ChangesOutput(const Launcher& launcher) {
  const std::string line = Read(absl::StrCat("/proc/", launcher.pid, "/cmdline"));
  if (line.empty()) return true;
  for (const absl::string_view argument : absl::StrSplit(line, '\0')) {
    if (!absl::StartsWith(argument, "-")) continue;
    for (const char* word : {"output", "xml", "xterm"}) {
      if (absl::StrContains(argument, word)) return true;
    }
  }
  return false;
}

// Whether a launcher holds the other end of a pipe or of a pseudo-terminal that is `fd` here.
bool HoldsOtherEnd(const Launcher& launcher, int fd) {
  struct stat mine;
  if (fstat(fd, &mine) != 0) return false;
  const std::string pipe = S_ISFIFO(mine.st_mode) ? LinkAt(absl::StrCat("/proc/self/fd/", fd)) : "";
  const std::string index = absl::StrCat("tty-index:\t", minor(mine.st_rdev), "\n");
  const std::string folder = absl::StrCat("/proc/", launcher.pid);
  const std::unique_ptr<DIR, int (*)(DIR*)> all(opendir((folder + "/fd").c_str()), closedir);
  if (all == nullptr) return false;
  while (const dirent* entry = readdir(all.get())) {
    const std::string name = entry->d_name, target = LinkAt(folder + "/fd/" + name);
    if (!pipe.empty() && target == pipe) return true;
    if (isatty(fd) != 0 && absl::EndsWith(target, "/ptmx") &&
        absl::StrContains(Read(folder + "/fdinfo/" + name), index))
      return true;
  }
  return false;
}

// Opens the terminal that is the launcher's `fd`; -1: it is none.
int TerminalOf(const Launcher& launcher, int fd) {
  const std::string path = absl::StrCat("/proc/", launcher.pid, "/fd/", fd);
  struct stat info;
  if (stat(path.c_str(), &info) != 0 || !S_ISCHR(info.st_mode)) return -1;
  const int terminal = open(path.c_str(), O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
  if (terminal >= 0 && isatty(terminal) == 0) {
    close(terminal);
    return -1;
  }
  return terminal;
}

Screen Find(int fd, bool launched) {
  const Launcher launcher = FindLauncher();
  if (launcher.pid == 0) {
    if (launched || isatty(fd) == 0) return {};
    return {.terminal = fd, .in_place = true};
  }
  if (ChangesOutput(launcher) || !HoldsOtherEnd(launcher, fd)) return {};
  const int terminal = TerminalOf(launcher, fd);
  return {.terminal = terminal, .in_place = terminal >= 0 && launcher.passes_parts};
}

bool WantsPlain() {
  const char *no_color = std::getenv("NO_COLOR"), *term = std::getenv("TERM");
  return (no_color != nullptr && *no_color != 0) || term == nullptr || *term == 0 ||
         absl::string_view(term) == "dumb";
}

}  // namespace

void FindScreens(bool launched) {
  if (WantsPlain()) return;
  g_out = Find(STDOUT_FILENO, launched);
  g_err = Find(STDERR_FILENO, launched);
}

const Screen& ScreenOf(int fd) { return fd == STDOUT_FILENO ? g_out : g_err; }

int ScreenWidth(const Screen& screen) {
  winsize size{};
  if (ioctl(screen.terminal, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return kDefaultWidth;
  return size.ws_col;
}

}  // namespace tl
