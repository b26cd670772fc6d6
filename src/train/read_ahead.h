// SPDX-License-Identifier: Apache-2.0
// Reads the micro-batches of the next step in a thread of its own while a step runs. Which batches
// a step gets, and which error, does not depend on that.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/worker_thread.h"
#include "data/source.h"

namespace tl {

// What a rank trains on in one step.
struct StepBatches {
  std::vector<HostBatch> micro;
  std::vector<int64_t> targets;  // of all of them, by head
};

class ReadAhead {
 public:
  // Fills micro-batch i of the step whose first sample is `first`. From any thread.
  using Fill =
      std::function<absl::Status(const DataSource& data, int64_t first, int64_t i, HostBatch* out)>;
  // Counts the targets of each head in a batch. From any thread.
  using Count = std::function<std::vector<int64_t>(const HostBatch& batch)>;
  ReadAhead(int64_t micro_batches, Fill fill, Count count)
      : micro_batches_(micro_batches), fill_(std::move(fill)), count_(std::move(count)) {}

  // The batches of the step whose first sample is `first`: those that Start read, else read now.
  // Valid until the next Take. Nothing is being read.
  absl::StatusOr<const StepBatches*> Take(const DataSource& data, int64_t first);
  // Starts to read the batches of a step into memory of their own. The source stays until Wait.
  void Start(const DataSource& data, int64_t first);
  // Until they are read.
  void Wait() { thread_.Wait(filled_); }

 private:
  struct Read {
    int64_t source = 0;  // its id; 0: none
    int64_t first = 0;
    StepBatches batches;
  };
  absl::Status FillAll(const DataSource& data, int64_t first, StepBatches* out);

  const int64_t micro_batches_;
  const Fill fill_;
  const Count count_;
  std::atomic<int64_t> filled_ = 0;  // micro-batches so far
  Read now_, next_;
  // The end of a step waits for it: it stands back behind nobody. Last: it ends before what it
  // writes to.
  WorkerThread thread_{/*nice=*/0};
};

}  // namespace tl
