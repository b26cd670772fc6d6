// The shared trunk: blocks alone. Residual stream in, residual stream out; what enters it is made
// by the stem, and what reads it is an objective.
#pragma once

#include <string>
#include <vector>

#include "model/config.h"
#include "nn/block.h"

namespace tl {

// How the blocks of a model run while they are trained.
struct BlockOptions {
  Recompute recompute = Recompute::kNone;
  DropoutConfig dropout = {};
};

// A block like the trunk's, under another name.
BlockConfig MakeBlockConfig(const ModelConfig& model, const std::string& name,
                            const BlockOptions& options);

class Trunk {
 public:
  // layers: how many of the model's blocks it has.
  Trunk(const ModelConfig& model, int64_t layers, Geometry geometry, const BlockOptions& options);
  void Declare(Plan& plan);
  // Where the stem writes its output, [local rows, hidden]; kept for the backward pass.
  SlotId stem_slot() const { return stem_; }
  // Where the gradient of the residual stream is kept: written by the objective at the stream's
  // end, by Backward at its start.
  SlotId d_stream_slot() const { return d_stream_; }
  // h + delta: the stream after the last block, valid until the next pass. rope: see SelfAttention.
  Residual Forward(Step& step, Tensor rope);
  // Blocks [first, last) alone, from the stream before the first of them.
  Residual Forward(Step& step, Residual stream, Tensor rope, int64_t first, int64_t last);
  int64_t layers() const { return static_cast<int64_t>(blocks_.size()); }
  void Backward(Step& step, Tensor rope);

 private:
  Geometry geometry_;
  int64_t hidden_;
  Recompute recompute_;
  std::vector<Block> blocks_;
  std::vector<std::string> names_, backward_names_;  // for profilers
  SlotId stem_ = -1, stream_h_ = -1, stream_delta_ = -1, d_stream_ = -1;
};

}  // namespace tl
