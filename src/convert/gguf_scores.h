// SPDX-License-Identifier: Apache-2.0
// A BPE over characters, as a tokenizer.json has it, as llama.cpp's "llama" tokenizer, which merges
// by the scores of what is made.
#pragma once

#include <nlohmann/json.hpp>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tl {

// Whether llama.cpp is to put a space before a text, as the normalizer and the pre_tokenizer of
// this tokenizer.json do; an error that names what it cannot do.
absl::StatusOr<bool> SpacePrefixForLlama(const nlohmann::json& root);

// Scores by id, of which there are `vocab`, that lead to the merges of this "model" in their order:
// the earlier a token is made, the higher. An error where llama.cpp would merge what it does not:
// it merges every two tokens that a token is made of.
absl::StatusOr<std::vector<float>> ScoresOfMerges(const nlohmann::json& model, int64_t vocab);

}  // namespace tl
