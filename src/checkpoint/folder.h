// SPDX-License-Identifier: Apache-2.0
// A folder of checkpoints: step_00000100/ and so on, and what keeps it in order.
//   step_00000100/            committed: complete, durable, never changed
//   step_00000200.tmp-<id>/   being written, or left by a run that died
//   step_00000050.old-<id>/   being deleted
//   LATEST                    the name of the last one committed, a hint for people
//   lock                      held by the run that writes
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/files.h"

namespace tl {

std::string CheckpointName(int64_t step);                        // "step_00000100"
std::string TemporaryName(int64_t step, const std::string& id);  // "step_00000100.tmp-<id>"

struct CheckpointEntry {
  int64_t step = 0;
  std::string path;
};
// Lists them, newest first, whether they are good or not. None where there is no such folder.
std::vector<CheckpointEntry> ListCheckpoints(const std::string& folder);
// Tells where to look for a checkpoint: `where` itself where it is one, else those in it. An error
// where there is none.
absl::StatusOr<std::vector<std::string>> FindCheckpoints(const std::string& where);

// The right to write into a folder; one process at a time. Where the file system has no locks,
// nothing is locked and held() is false.
class FolderLock {
 public:
  // Waits a few seconds for a run that is about to end.
  static absl::StatusOr<FolderLock> Take(const std::string& folder);
  bool held() const { return held_; }

 private:
  File file_;
  bool held_ = false;
};

// Removes what dead runs have left. Only with the lock held is nobody else's work removed.
void RemoveLeftovers(const std::string& folder);

// temporary: a complete and synced step_N.tmp-<id>. Renames it to step_N; one of the same step
// gives way to it in the same moment, where the file system can exchange names. An error
// (AlreadyExists) where that one is healthy and this is not (health.h).
absl::Status CommitCheckpoint(const std::string& folder, const std::string& temporary,
                              int64_t step);

// Deletes healthy checkpoints of steps up to `step` beyond the newest `keep`, save for multiples of
// keep_every. 0: keep all; no such multiples. Unhealthy ones (health.h) do not count: the newest
// stays as long as no healthy one is newer, the others go. One that is being read stays for now.
// Later steps, of a run that went back, are left alone.
void Retain(const std::string& folder, int64_t step, int64_t keep, int64_t keep_every);

}  // namespace tl
