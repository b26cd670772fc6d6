// SPDX-License-Identifier: Apache-2.0
// config.json of Hugging Face's transformers, for the architectures that this trunk is.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/json.h"
#include "config/model.h"
#include "device/dtype.h"

namespace tl {

struct HfConfig {
  ModelConfig model;
  int64_t max_positions = 0;
  std::optional<DType> dtype;      // of the weights, where it says so
  std::vector<int32_t> ends = {};  // tokens that end a text; written, not read
  int32_t begin = -1, pad = -1;    // so are these; -1: none
};

// Tokens as transformers' configs have them: null, a number, or a list; -1 is none.
nlohmann::ordered_json TokensJson(std::vector<int32_t> tokens);

// LlamaForCausalLM, Qwen2ForCausalLM (bias on q, k and v), Qwen3ForCausalLM (norm of q and k) or
// MistralForCausalLM (sliding window); an error that names the mix where it is none of these.
absl::StatusOr<std::string> HfArchitecture(const ModelConfig& model);

// Writes the rotary embedding in both its forms, the older rope_theta with rope_scaling and the
// newer rope_parameters.
absl::StatusOr<std::string> WriteHfConfig(const HfConfig& config);

// path is named in errors. What the trunk cannot do (an architecture, a rope type, biases, other
// activations, quantized weights) is refused by name.
absl::StatusOr<HfConfig> ParseHfConfig(const std::string& text, const std::string& path);

}  // namespace tl
