// SPDX-License-Identifier: Apache-2.0
// [model]: what a trunk looks like.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace tl {

struct ConfigSection;

// Llama 3's frequency scaling: wavelengths beyond original_context / low_freq_factor are stretched
// by factor, those below original_context / high_freq_factor are kept, those between are blended.
struct RopeScaling {
  double factor = 1.0;  // 1: no scaling
  double low_freq_factor = 1.0;
  double high_freq_factor = 4.0;
  int64_t original_context = 8192;
  bool operator==(const RopeScaling&) const = default;
};

struct ModelConfig {
  int64_t layers = 0;
  int64_t hidden = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;  // 0: = heads
  int64_t head_dim = 0;  // 0: = hidden / heads
  int64_t ffn = 0;
  int64_t vocab = 0;
  std::vector<int64_t> shape =
      {};               // of a sample: channels, height, width; empty: samples are tokens
  int64_t patch = 1;    // height and width of a patch, which a row of the stream stands for
  int64_t classes = 0;  // that samples may be of; 0: they have none
  bool tie_embeddings = true;
  double rope_theta = 10000.0;
  RopeScaling rope_scaling = {};
  double norm_eps = 1e-5;
  bool qkv_bias = false;       // as in Qwen2
  bool qk_norm = false;        // as in Qwen3: RMSNorm over each head of q and k before rotary
  int64_t sliding_window = 0;  // 0: none; as in Mistral
  double init_std = 0.02;      // projections into the residual stream: / sqrt(2 layers)

  int64_t kv_heads_or_default() const { return kv_heads ? kv_heads : heads; }
  int64_t head_dim_or_default() const { return head_dim ? head_dim : hidden / heads; }
  // Whether samples are values of a shape, not tokens; what follows is of those.
  bool of_values() const { return !shape.empty(); }
  int64_t patches() const {  // of a sample; 0 where the shape is none
    return shape.size() == 3 ? (shape[1] / patch) * (shape[2] / patch) : 0;
  }
  int64_t patch_values() const { return shape[0] * patch * patch; }
  bool operator==(const ModelConfig&) const = default;
};

// Checks every field and their relations; messages name the key, e.g. "[model] heads".
absl::Status Validate(const ModelConfig& model);

ConfigSection ModelSection();
ConfigSection RopeScalingSection();

}  // namespace tl
