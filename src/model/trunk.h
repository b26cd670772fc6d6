// SPDX-License-Identifier: Apache-2.0
// The shared trunk: blocks alone. Residual stream in, residual stream out; what enters it is made
// by the stem, and what reads it is an objective. Where samples are values, its rows see each other
// both ways, and its blocks are conditioned on the sample.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "config/model.h"
#include "nn/conditioner.h"
#include "nn/taps.h"

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
  // taps: of its blocks, each at most once; see Taps::inputs.
  void Declare(Plan& plan, absl::Span<const TapSpec> taps = {});
  // Where the stem writes its output, [local rows, hidden]; kept for the backward pass.
  SlotId stem_slot() const { return stem_; }
  // From what the stem wrote. rope: see SelfAttention.
  Taps Forward(Step& step, Tensor rope);
  // Blocks [first, last) alone, from the stream before the first of them.
  Taps Forward(Step& step, Residual stream, Tensor rope, int64_t first, int64_t last);
  int64_t layers() const { return static_cast<int64_t>(blocks_.size()); }
  // From the gradients in the taps to that at the stem's output, which replaces taps.d_out.
  void Backward(Step& step, const Taps& taps);

 private:
  Geometry geometry_;
  int64_t hidden_;
  Recompute recompute_;
  bool has_backward_ = false;
  std::vector<Block> blocks_;
  std::optional<Conditioner> conditioner_;
  std::vector<int> tap_of_;     // of each block: its tap's index, -1: it has none
  std::vector<SlotId> d_taps_;  // of each tap: its gradient, -1: none is sent
  std::vector<std::string> names_, backward_names_;  // for profilers
  SlotId stem_ = -1, stream_h_ = -1, stream_delta_ = -1, d_stream_ = -1;
};

}  // namespace tl
