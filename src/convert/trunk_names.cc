// SPDX-License-Identifier: Apache-2.0
#include "convert/trunk_names.h"

#include <array>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace tl {
namespace {

constexpr int kNamings = 3;
using Names = std::array<const char*, kNamings>;

constexpr Names kLayerPrefix = {"layers.", "model.layers.", "blk."};
// What follows the number of the layer.
constexpr Names kOfLayers[] = {
    {"attention_norm.weight", "input_layernorm.weight", "attn_norm.weight"},
    {"attention.q.weight", "self_attn.q_proj.weight", "attn_q.weight"},
    {"attention.k.weight", "self_attn.k_proj.weight", "attn_k.weight"},
    {"attention.v.weight", "self_attn.v_proj.weight", "attn_v.weight"},
    {"attention.q.bias", "self_attn.q_proj.bias", "attn_q.bias"},
    {"attention.k.bias", "self_attn.k_proj.bias", "attn_k.bias"},
    {"attention.v.bias", "self_attn.v_proj.bias", "attn_v.bias"},
    {"attention.q_norm.weight", "self_attn.q_norm.weight", "attn_q_norm.weight"},
    {"attention.k_norm.weight", "self_attn.k_norm.weight", "attn_k_norm.weight"},
    {"attention.out.weight", "self_attn.o_proj.weight", "attn_output.weight"},
    {"mlp_norm.weight", "post_attention_layernorm.weight", "ffn_norm.weight"},
    {"mlp.gate.weight", "mlp.gate_proj.weight", "ffn_gate.weight"},
    {"mlp.up.weight", "mlp.up_proj.weight", "ffn_up.weight"},
    {"mlp.down.weight", "mlp.down_proj.weight", "ffn_down.weight"},
};
constexpr Names kOthers[] = {
    {"embedding.weight", "model.embed_tokens.weight", "token_embd.weight"},
    {"final_norm.weight", "model.norm.weight", "output_norm.weight"},
    {"lm_head.weight", "lm_head.weight", "output.weight"},
};

}  // namespace

std::optional<std::string> TrunkName(const std::string& name, Naming from, Naming to) {
  const auto f = static_cast<size_t>(from), t = static_cast<size_t>(to);
  for (const Names& names : kOthers) {
    if (name == names[f]) return names[t];
  }
  const std::string prefix = kLayerPrefix[f];
  if (!absl::StartsWith(name, prefix)) return std::nullopt;
  const size_t dot = name.find('.', prefix.size());
  if (dot == std::string::npos) return std::nullopt;
  const std::string number = name.substr(prefix.size(), dot - prefix.size());
  if (number.empty() || number.find_first_not_of("0123456789") != std::string::npos)
    return std::nullopt;
  for (const Names& names : kOfLayers) {
    if (name.compare(dot + 1, std::string::npos, names[f]) == 0)
      return absl::StrCat(kLayerPrefix[t], number, ".", names[t]);
  }
  return std::nullopt;
}

}  // namespace tl
