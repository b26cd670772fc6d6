// SPDX-License-Identifier: Apache-2.0
// The main kernel of attention's backward pass on tensor cores, as the pass itself starts it.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <optional>

#include "kernels/attention.h"

namespace tl::cuda {

struct AttentionLaunch {
  // One axis, taken in the order of [tiles of keys, B, Hkv, parts, heads of a group].
  dim3 grid;
  int threads;           // of a block
  size_t shared_bytes;   // of a block, dynamic
  int keys;              // of a tile
  size_t scratch_bytes;  // of all kernels of the pass

  int64_t blocks() const { return int64_t{grid.x} * grid.y * grid.z; }
};

// Gives what the current device runs; nothing where that are the plain kernels. Views are looked at
// and not read.
std::optional<AttentionLaunch> LaunchOf(const AttentionBackwardArgs& args);

}  // namespace tl::cuda
