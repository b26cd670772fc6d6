// SPDX-License-Identifier: Apache-2.0
// [train]: length, batches and memory.
#pragma once

#include <cstdint>

namespace tl {

struct ConfigSection;

// How much of a block's activations is made again in the backward pass instead of being kept.
enum class Recompute : uint8_t {
  kNone,
  kSelective,  // norm outputs and the feed-forward activation: cheap to make again
  kFull        // everything but the block's input
};

struct TrainConfig {
  int64_t steps = 0;
  int64_t sequence_length = 0;
  int64_t global_batch_size = 0;  // sequences per step
  int64_t micro_batch_size = 0;   // sequences per forward pass and data rank
  int64_t seed = 1;
  int64_t eval_every = 0;    // 0: only at the end
  int64_t eval_batches = 0;  // micro batches per data rank and evaluation; 0: the whole of it
  Recompute recompute = Recompute::kNone;
  double hidden_dropout = 0.0;
  double z_loss = 0.0;
  int64_t loss_chunk = 0;  // tokens per chunk of the fused loss; 0: see LossChunk
  bool operator==(const TrainConfig&) const = default;
};

// "none": the name in the config file.
const char* Name(Recompute recompute);

ConfigSection TrainSection();

}  // namespace tl
