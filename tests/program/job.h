// SPDX-License-Identifier: Apache-2.0
// Runs the real program, alone or under mpirun, and tells how it ended.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

namespace tl {

constexpr int kTimedOut = 124;  // timeout's own exit code

struct Outcome {
  int exit_code = 0;
  std::string output;  // stdout and stderr
  double seconds = 0;
};

inline void SetJobEnvironment() {
  // Ranks share this machine's cores; Open MPI as root wants to be asked twice.
  for (const char* name : {"OMP_NUM_THREADS", "OMPI_ALLOW_RUN_AS_ROOT",
                           "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "OMPI_MCA_rmaps_base_oversubscribe"})
    setenv(name, "1", 1);
  setenv("OMPI_MCA_hwloc_base_binding_policy", "none", 0);
  // The same for Open MPI 5, whose ranks PRRTE starts.
  setenv("PRTE_MCA_hwloc_default_binding_policy", "none", 0);
  setenv("PRTE_MCA_rmaps_default_mapping_policy", ":oversubscribe", 0);
  // Where a rank ends with an error, mpirun asks the others to end and waits a second.
  setenv("OMPI_MCA_odls_base_sigkill_timeout", "0", 0);
  setenv("HWLOC_HIDE_ERRORS", "2", 0);
  setenv("RES_OPTIONS", "timeout:1 attempts:1", 0);  // "localhost" may be unknown
}

inline std::string Quote(const std::string& text) {
  std::string out = "'";
  for (const char ch : text) out += ch == '\'' ? std::string("'\\''") : std::string(1, ch);
  return out + "'";
}

// The command line of the program on so many ranks.
inline std::string ProgramLine(int ranks, const std::vector<std::string>& arguments) {
  std::string line;
  if (ranks > 1) line = "mpirun --oversubscribe -n " + std::to_string(ranks) + " ";
  line += Quote(std::string(TL_BINARY_DIR) + "/trunkline");
  for (const std::string& argument : arguments) line += " " + Quote(argument);
  return line;
}

// Runs a shell command, at most so many seconds.
inline Outcome RunShell(const std::string& script, int seconds) {
  const std::string command =
      "timeout -k 2 " + std::to_string(seconds) + " sh -c " + Quote(script) + " </dev/null 2>&1";
  const auto start = std::chrono::steady_clock::now();
  Outcome outcome;
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return {-1, "no pipe", 0};
  std::array<char, 4096> buffer;
  while (const size_t n = fread(buffer.data(), 1, buffer.size(), pipe))
    outcome.output.append(buffer.data(), n);
  const int status = pclose(pipe);
  outcome.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  outcome.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return outcome;
}

// Runs a line of the shell as each of two ranks. Not by `mpirun LINE : LINE`, at which that of Open
// MPI 5.0.7 crashes.
inline Outcome RunRanks(const std::string& first, const std::string& second, int seconds) {
  return RunShell(
      "mpirun --oversubscribe -n 2 sh -c " +
          Quote("if [ $OMPI_COMM_WORLD_RANK = 0 ]; then " + first + "; else " + second + "; fi"),
      seconds);
}

inline std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline void WriteFile(const std::string& path, const std::string& bytes) {
  std::ofstream file(path, std::ios::binary);
  file << bytes;
  ASSERT_TRUE(file.flush()) << path;
}

// The files below a folder with their contents, the folders with none.
inline std::map<std::string, std::string> Snapshot(const std::string& folder) {
  std::map<std::string, std::string> files;
  std::error_code none;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder, none)) {
    if (entry.path().filename() == "lock") continue;  // says who was there last
    files[entry.path().string()] = entry.is_regular_file() ? ReadFile(entry.path().string()) : "";
  }
  return files;
}

inline int Count(const std::string& text, const std::string& part) {
  int n = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

// One rank says what is wrong, once, and the job ends with an error: no crash, no hang.
inline void ExpectOneError(const Outcome& outcome, const std::vector<std::string>& parts) {
  const std::string& output = outcome.output;
  EXPECT_EQ(outcome.exit_code, 1) << (outcome.exit_code == kTimedOut ? "timed out\n" : "")
                                  << output;
  EXPECT_EQ(Count("\n" + output, "\nerror: "), 1) << output;
  const size_t begin = ("\n" + output).find("\nerror: ");
  if (begin != std::string::npos) {
    const std::string line = output.substr(begin, output.find('\n', begin) - begin);
    for (const std::string& part : parts) {
      EXPECT_NE(line.find(part), std::string::npos) << "expected: " << part << "\n" << output;
    }
    EXPECT_LE(Count(line, "rank 0: ") + Count(line, "rank 1: "), 1) << line;
  }
  for (const char* crash : {"check failed", "Aborted", "Segmentation", "terminate called", "signal",
                            "MPI_ABORT", "ends all", "Sanitizer", "runtime error"})
    EXPECT_EQ(Count(output, crash), 0) << crash << "\n" << output;
}

}  // namespace tl
