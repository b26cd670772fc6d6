// The main kernel of a pass of attention on tensor cores, as the pass itself starts it.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <optional>

#include "kernels/attention.h"

namespace tl::cuda {

struct AttentionLaunch {
  // Forward: [tiles of queries, Hq, B], last tile first. Backward: one axis, taken in the order of
  // [tiles of keys, B, Hkv, parts, heads of a group].
  dim3 grid;
  int threads;               // of a block
  size_t shared_bytes;       // of a block, dynamic
  int blocks_per_processor;  // that its registers allow
  int queries, keys;         // of a tile
  int parts;                 // blocks that share the columns of a tile
  size_t scratch_bytes;      // of all kernels of the pass

  int64_t blocks() const { return int64_t{grid.x} * grid.y * grid.z; }
};

// Of the current device; nothing where the plain kernels run. Views are looked at and not read.
std::optional<AttentionLaunch> LaunchOf(const AttentionArgs& args);
std::optional<AttentionLaunch> LaunchOf(const AttentionBackwardArgs& args);

}  // namespace tl::cuda
