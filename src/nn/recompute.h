// How much of a block's activations is made again in the backward pass instead of being kept.
#pragma once

#include <cstdint>

namespace tl {

enum class Recompute : uint8_t {
  kNone,
  kSelective,  // norm outputs and the feed-forward activation: cheap to make again
  kFull        // everything but the block's input
};

}  // namespace tl
