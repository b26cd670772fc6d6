// SPDX-License-Identifier: Apache-2.0
// Ranks with a GPU each, over NCCL: collectives of tensors in device memory run on the device's
// streams while the host goes on. Tensors of the host, splits and aborts go over MPI.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "comm/communicator.h"

namespace tl {

struct NcclOptions {
  Device device;
  // Without progress for so long a job ends, 0: it waits for ever; see nccl_watchdog.h.
  double watchdog_seconds = 600;
  // Pins NCCL's algorithm and protocol (rings, Simple) unless NCCL_ALGO and NCCL_PROTO say
  // otherwise, so that sums are made in an order that depends on the grid alone.
  bool deterministic = false;
};

// Joins the ranks of `world`, which outlives it. Each rank's device must be its own. Collective;
// all ranks get the same status.
absl::StatusOr<std::unique_ptr<Communicator>> MakeNcclWorld(Communicator& world,
                                                            const NcclOptions& options);

}  // namespace tl
