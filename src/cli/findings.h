// SPDX-License-Identifier: Apache-2.0
// What commands that look after files and checkpoints find, and with which exit code they end.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "checkpoint/run_state.h"

namespace tl {

// "good", or since when it is not.
std::string HealthText(const RunState& run);

class Findings {
 public:
  // Counts one thing that was looked at, and tells whether it is bad, for the caller to print. What
  // the user may not read is not: it is unchecked.
  bool Add(const absl::Status& status);
  void AddHealth(const RunState& run);
  // Counts one that could not be looked at, and says why.
  void AddUnchecked(const absl::Status& why);

  // Reads every byte of a checkpoint, and prints whether it is good and what is wrong with it.
  void VerifyCheckpoint(const std::string& path);

  // OK where all is well; EndWith(kExitFinding) where anything is bad or unhealthy; else an error
  // where something could not be checked. what: "checkpoints".
  absl::Status End(const std::string& what) const;

 private:
  int all_ = 0, bad_ = 0, unhealthy_ = 0, unchecked_ = 0;
  absl::Status first_unchecked_;
};

}  // namespace tl
