// SPDX-License-Identifier: Apache-2.0
#include "config/model.h"

#include <cmath>
#include <limits>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "config/section.h"

namespace tl {
namespace {

// What the attention kernels take.
constexpr int64_t kMinHeadDim = 32;
constexpr int64_t kMaxHeadDim = 256;
constexpr int64_t kHeadDimMultiple = 8;

bool HeadDimFits(int64_t d) {
  return d >= kMinHeadDim && d <= kMaxHeadDim && d % kHeadDimMultiple == 0;
}

// Planning takes time with the square of the layers.
constexpr int64_t kMaxLayers = 1024;

absl::Status Positive(const char* key, int64_t value) {
  if (value >= 1 && value <= std::numeric_limits<int32_t>::max()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("[model] ", key, " = ", value, ": expected a number from 1 to 2^31-1"));
}

absl::Status Finite(const char* key, double value, bool zero_allowed) {
  if (std::isfinite(value) && (value > 0.0 || (zero_allowed && value == 0.0))) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("[model] ", key, " = ", value, ": expected a ",
                   zero_allowed ? "number of at least 0" : "positive number"));
}

// "8, 12, 16": the head counts that divide hidden into sizes that the kernels take.
std::string HeadsThatFit(int64_t hidden) {
  std::vector<int64_t> fit;
  for (int64_t d = kMaxHeadDim; d >= kMinHeadDim; d -= kHeadDimMultiple) {
    if (hidden % d == 0) fit.push_back(hidden / d);
  }
  if (fit.empty()) return "none divides this hidden: make hidden a multiple of 64";
  return absl::StrCat("heads that fit: ", absl::StrJoin(fit, ", "));
}

absl::Status ValidateHeads(const ModelConfig& m) {
  if (m.kv_heads < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("[model] kv_heads = ", m.kv_heads, ": expected 0 (as many as heads) or more"));
  }
  const int64_t kv_heads = m.kv_heads_or_default();
  if (kv_heads > m.heads || m.heads % kv_heads != 0) {
    std::vector<int64_t> fit;
    for (int64_t k = 1; k <= m.heads; ++k) {
      if (m.heads % k == 0) fit.push_back(k);
    }
    return absl::InvalidArgumentError(
        absl::StrCat("[model] kv_heads = ", kv_heads, " does not divide heads = ", m.heads,
                     "; kv_heads that fit: ", absl::StrJoin(fit, ", ")));
  }
  if (m.head_dim == 0 && m.hidden % m.heads != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("[model] heads = ", m.heads, " does not divide hidden = ", m.hidden,
                     " (and head_dim is not given); ", HeadsThatFit(m.hidden)));
  }
  if (!HeadDimFits(m.head_dim_or_default())) {
    const std::string expected = absl::StrCat("expected a multiple of ", kHeadDimMultiple, " from ",
                                              kMinHeadDim, " to ", kMaxHeadDim);
    if (m.head_dim != 0)
      return absl::InvalidArgumentError(
          absl::StrCat("[model] head_dim = ", m.head_dim, ": ", expected));
    return absl::InvalidArgumentError(absl::StrCat(
        "[model] hidden / heads = ", m.hidden, " / ", m.heads, " = ", m.head_dim_or_default(),
        " per head: ", expected, "; ", HeadsThatFit(m.hidden)));
  }
  return absl::OkStatus();
}

absl::Status ValidateRope(const ModelConfig& m) {
  TL_RETURN_IF_ERROR(Finite("rope_theta", m.rope_theta, false));
  const RopeScaling& s = m.rope_scaling;
  if (!std::isfinite(s.factor) || s.factor < 1.0) {
    return absl::InvalidArgumentError(
        absl::StrCat("[model.rope_scaling] factor = ", s.factor,
                     ": expected a number of at least 1 (1: no scaling)"));
  }
  if (s.factor == 1.0) return absl::OkStatus();
  TL_RETURN_IF_ERROR(Finite("rope_scaling.low_freq_factor", s.low_freq_factor, false));
  TL_RETURN_IF_ERROR(Finite("rope_scaling.high_freq_factor", s.high_freq_factor, false));
  if (s.low_freq_factor >= s.high_freq_factor) {
    return absl::InvalidArgumentError(
        absl::StrCat("[model.rope_scaling] low_freq_factor = ", s.low_freq_factor,
                     " must be less than high_freq_factor = ", s.high_freq_factor));
  }
  return Positive("rope_scaling.original_context", s.original_context);
}

}  // namespace

absl::Status Validate(const ModelConfig& m) {
  if (m.layers < 1 || m.layers > kMaxLayers) {
    return absl::InvalidArgumentError(
        absl::StrCat("[model] layers = ", m.layers, ": expected a number from 1 to ", kMaxLayers));
  }
  TL_RETURN_IF_ERROR(Positive("hidden", m.hidden));
  TL_RETURN_IF_ERROR(Positive("heads", m.heads));
  TL_RETURN_IF_ERROR(Positive("ffn", m.ffn));
  TL_RETURN_IF_ERROR(Positive("vocab", m.vocab));
  TL_RETURN_IF_ERROR(ValidateHeads(m));
  TL_RETURN_IF_ERROR(ValidateRope(m));
  TL_RETURN_IF_ERROR(Finite("norm_eps", m.norm_eps, false));
  TL_RETURN_IF_ERROR(Finite("init_std", m.init_std, true));
  if (m.sliding_window < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("[model] sliding_window = ", m.sliding_window,
                     ": expected 0 (none) or the number of keys seen"));
  }
  return absl::OkStatus();
}

ConfigSection ModelSection() {
  using M = ModelConfig;
  SectionOf<M> s("model", "the trunk: a Llama-style transformer", &Config::model);
  const auto key = [&](const char* name, auto field, const char* doc) -> ConfigKey& {
    return s.Key(name, field, doc).Changes(AtResume::kModel);
  };
  key("layers", &M::layers, "transformer blocks")
      .In(kCount)
      .Required()
      .Known({"num_layers", "n_layer", "num_hidden_layers"});
  key("hidden", &M::hidden, "width of the residual stream")
      .In(kCount)
      .Required()
      .Known({"hidden_size", "n_embd"});
  key("heads", &M::heads, "query heads")
      .In(kCount)
      .Required()
      .Known({"num_attention_heads", "n_head"});
  key("kv_heads", &M::kv_heads, "key/value heads (grouped-query attention); 0: as many as heads")
      .In(kZeroOrMore)
      .Changes(AtResume::kModelIfNotZero)
      .Known({"num_query_groups", "num_key_value_heads"});
  key("head_dim", &M::head_dim, "size of a head, a multiple of 8 from 32 to 256; 0: hidden / heads")
      .In(kZeroOrMore)
      .Changes(AtResume::kModelIfNotZero)
      .Known({"kv_channels"});
  key("ffn", &M::ffn, "inner width of the SwiGLU MLP")
      .In(kCount)
      .Required()
      .Known({"ffn_hidden_size", "intermediate_size"});
  key("vocab", &M::vocab,
      "tokens in the vocabulary; padded where it is split, padding never gets probability")
      .In(kCount)
      .Required()
      .Known({"vocab_size", "padded_vocab_size"});
  key("tie_embeddings", &M::tie_embeddings, "use the token embedding as output matrix too")
      .Known({"tie_word_embeddings"});
  key("rope_theta", &M::rope_theta, "base of the rotary embedding's wavelengths")
      .In(kPositive)
      .Known({"rotary_base"});
  key("norm_eps", &M::norm_eps, "added to the mean square in RMSNorm")
      .In(kPositive)
      .Known({"rms_norm_eps", "norm_epsilon"});
  key("qkv_bias", &M::qkv_bias, "biases on q, k and v, as in Qwen2");
  key("qk_norm", &M::qk_norm, "RMSNorm over each head of q and k, as in Qwen3");
  key("sliding_window", &M::sliding_window,
      "keys a query sees, its own included, as in Mistral; 0: all before it")
      .In(kZeroOrMore);
  key("init_std", &M::init_std,
      "of initial weights; projections into the residual stream: / sqrt(2 layers)")
      .In(kZeroOrMore)
      .Changes(AtResume::kFree)
      .Known({"init_method_std", "initializer_range"});
  return s.Take();
}

ConfigSection RopeScalingSection() {
  using R = RopeScaling;
  SectionOf<R> s("model.rope_scaling", "rotary embedding stretched to longer contexts",
                 [](Config& c) -> R& { return c.model.rope_scaling; });
  const auto key = [&](const char* name, auto field, const char* doc) -> ConfigKey& {
    return s.Key(name, field, doc).Changes(AtResume::kModel);
  };
  key("factor", &R::factor, "stretch of the long wavelengths, as in Llama 3.1; 1: none").In(kCount);
  const auto scaled = [](const Config& c) { return c.model.rope_scaling.factor != 1.0; };
  key("low_freq_factor", &R::low_freq_factor,
      "wavelengths beyond original_context / this are stretched in full")
      .In(kPositive)
      .Where(scaled);
  key("high_freq_factor", &R::high_freq_factor,
      "wavelengths below original_context / this are kept")
      .In(kPositive)
      .Where(scaled);
  key("original_context", &R::original_context, "context the unscaled model was trained on")
      .In(kCount)
      .Where(scaled);
  return s.Take();
}

}  // namespace tl
