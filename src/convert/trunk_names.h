// SPDX-License-Identifier: Apache-2.0
// The trunk's tensors under the names of other formats.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace tl {

enum class Naming : uint8_t {
  kTrunkline,    // layers.3.attention.q.weight
  kHuggingFace,  // model.layers.3.self_attn.q_proj.weight
  kGguf,         // blk.3.attn_q.weight
};

// nullopt where the name is not one of a trunk's.
std::optional<std::string> TrunkName(const std::string& name, Naming from, Naming to);

}  // namespace tl
