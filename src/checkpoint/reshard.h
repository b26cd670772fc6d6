// SPDX-License-Identifier: Apache-2.0
// Checkpoints as wholes: written again for another grid, compared, summed up.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "checkpoint/reader.h"

namespace tl {

// Writes folder/step_N with a shard for every rank of a data x tensor grid: tensors divided along
// their split axis, then each part over the data ranks. What has that name already is left as it
// is, and an error (AlreadyExists). The text that the checkpoint or its run has goes with it.
// Returns its path. Memory: two blocks.
absl::StatusOr<std::string> Reshard(CheckpointReader& from, const std::string& folder, int data,
                                    int tensor);

// Over the finite elements of a tensor, in fp64.
struct TensorStatistics {
  double low = 0.0, high = 0.0, mean = 0.0, deviation = 0.0;
  int64_t not_finite = 0;
};
absl::StatusOr<TensorStatistics> ReadStatistics(CheckpointReader& reader, int tensor);

struct TensorDifference {
  std::string tensor;    // "weight/NAME"
  std::string why;       // where they cannot be compared: "only in A"
  double largest = 0.0;  // |a - b|; infinite where one is not finite and the other differs
  int64_t elements = 0;  // whose bits differ
};
// Lists every tensor that differs.
absl::StatusOr<std::vector<TensorDifference>> Compare(CheckpointReader& a, CheckpointReader& b);

}  // namespace tl
