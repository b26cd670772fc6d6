// SPDX-License-Identifier: Apache-2.0
// The real program on several ranks that goes on while a test looks at it, stops ranks or kills
// them.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <functional>
#include <optional>
#include <thread>

#include "tests/program/job.h"

namespace tl {

// Waits until it is true, at most so long; whether it is.
inline bool WaitUntil(double seconds, const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return condition();
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

class LiveJob {
 public:
  // log: the file that gets what it prints. before: put in front of the program, VAR=value.
  LiveJob(int ranks, const std::vector<std::string>& arguments, const std::string& log,
          const std::string& before = "")
      : ranks_(ranks), log_(log) {
    std::string line = "exec ";
    if (!before.empty()) line += "env " + before + " ";
    line += ProgramLine(ranks, arguments) + " < /dev/null > " + Quote(log) + " 2>&1";
    std::filesystem::remove(log);  // of the job before
    pid_ = fork();
    if (pid_ == 0) {
      setpgid(0, 0);
      execl("/bin/sh", "sh", "-c", line.c_str(), nullptr);
      _exit(127);
    }
  }
  LiveJob(const LiveJob&) = delete;
  LiveJob& operator=(const LiveJob&) = delete;
  ~LiveJob() {
    if (!ended_) {
      KillAll();
      Wait(20);
    }
  }

  std::string Output() const { return ReadFile(log_); }
  pid_t launcher() const { return pid_; }

  // The process of each rank, 0 where it is not there.
  std::vector<pid_t> Ranks() const {
    std::vector<pid_t> found(ranks_);
    if (ranks_ == 1) return {ended_ ? 0 : pid_};
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
      const std::string name = entry.path().filename().string();
      if (name.find_first_not_of("0123456789") != std::string::npos) continue;
      const std::string stat = ReadFile(entry.path().string() + "/stat");
      const size_t after = stat.rfind(") ");  // "pid (name) state parent ..."
      if (after == std::string::npos || std::atoi(stat.c_str() + after + 4) != pid_) continue;
      const std::string environment = '\0' + ReadFile(entry.path().string() + "/environ");
      const std::string key = std::string(1, '\0') + "OMPI_COMM_WORLD_RANK=";
      const size_t at = environment.find(key);
      if (at == std::string::npos) continue;
      const int rank = std::atoi(environment.c_str() + at + key.size());
      if (rank >= 0 && rank < ranks_) found[rank] = std::atoi(name.c_str());
    }
    return found;
  }
  bool Signal(int rank, int signal) const {
    const pid_t pid = Ranks()[rank];
    return pid > 0 && kill(pid, signal) == 0;
  }
  // As when the power fails: all ranks and the launcher.
  void KillAll() const {
    const std::vector<pid_t> ranks = Ranks();
    kill(pid_, SIGSTOP);  // so that it cannot be kind to the ranks
    for (const pid_t pid : ranks) {
      if (pid > 0) kill(pid, SIGKILL);
    }
    kill(pid_, SIGKILL);
  }

  // The exit code as a shell has it; nothing where it is still running after so many seconds.
  std::optional<int> Wait(double seconds) {
    WaitUntil(seconds, [&] {
      int status = 0;
      if (!ended_ && waitpid(pid_, &status, WNOHANG) == pid_) {
        ended_ = true;
        code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      }
      return ended_;
    });
    return ended_ ? std::optional<int>(code_) : std::nullopt;
  }
  bool ended() { return Wait(0).has_value(); }

 private:
  const int ranks_;
  const std::string log_;
  pid_t pid_ = 0;
  bool ended_ = false;
  int code_ = 0;
};

}  // namespace tl
