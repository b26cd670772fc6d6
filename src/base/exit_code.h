// SPDX-License-Identifier: Apache-2.0
// The exit codes of the program and of all ranks of a job, for scripts;
// docs/reference/exit-codes.md explains them. A rank that dies of a signal gives 128 + its number, as
// in a shell.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace tl {

inline constexpr int kExitDone = 0;
inline constexpr int kExitError = 1;     // a message says what; starting again does not help
inline constexpr int kExitFinding = 3;   // damage, ill health or a difference
inline constexpr int kExitRequeue = 85;  // saved before the end: started again, it goes on
inline constexpr int kExitHung = 86;     // ended by the watchdog

// Makes an end that is no error and yet has an exit code of its own: a status that is not OK, so
// that it ends what it passes through.
absl::Status EndWith(int exit_code, const std::string& message);
// Returns 0 where OK, EndWith's code, and kExitError for all others.
int ExitCodeOf(const absl::Status& status);

}  // namespace tl
