// SPDX-License-Identifier: Apache-2.0
// What of every tensor is on this rank: from the declared parameters and the sharded state to
// pieces of a checkpoint, and the memory that holds them.
#pragma once

#include <string>
#include <vector>

#include "checkpoint/manifest.h"
#include "nn/params.h"
#include "optim/sharded_state.h"

namespace tl {

// Lists every tensor of a run, in an order that all ranks share: weights (FP32 masters), then role
// by role the optimizer's states of the parameters whose bucket has it.
std::vector<TensorRecord> TensorsOf(const ParamTable& table, const BucketRoles& roles);

// Device memory; bytes in a row.
struct MemoryRun {
  std::byte* data = nullptr;
  int64_t bytes = 0;
};

struct LocalPiece {
  int tensor = 0;  // in TensorsOf
  Box box;
  int64_t begin = 0;
  int64_t end = 0;
  std::vector<MemoryRun> runs;  // the elements in order; padding lies between them
};

enum class Copies : uint8_t {
  kOne,  // of what several tensor ranks hold, the copy of the rank that counts it
  kAll
};

// This rank's part of the masters and of the optimizer's states (first_state = -1: both, 0: the
// states alone). At most one piece of each tensor.
std::vector<LocalPiece> PiecesOf(const ParamTable& table, const ShardedState& state,
                                 int first_state, Copies copies);

// Returns the logical part of a tensor that a shard holds. Size 0 where it is all padding.
Box BoxOf(const PartShard& shard);

}  // namespace tl
