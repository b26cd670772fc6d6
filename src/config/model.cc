// SPDX-License-Identifier: Apache-2.0
#include "config/model.h"

#include <algorithm>
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

// Of every axis of a sample, so that counts of its values stay in an int64.
constexpr int64_t kMaxAxis = 1 << 16;

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

absl::Status ValidateTokens(const ModelConfig& m) {
  TL_RETURN_IF_ERROR(Positive("vocab", m.vocab));
  if (m.sliding_window < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("[model] sliding_window = ", m.sliding_window,
                     ": expected 0 (none) or the number of keys seen"));
  }
  const auto foreign = [](const char* key, int64_t value) {
    return absl::InvalidArgumentError(
        absl::StrCat("[model] ", key, " = ", value, " is a key of models with [model] shape"));
  };
  if (m.patch != 1) return foreign("patch", m.patch);
  return m.classes == 0 ? absl::OkStatus() : foreign("classes", m.classes);
}

absl::Status ValidateShape(const ModelConfig& m) {
  const std::string shape = absl::StrCat("[model] shape = [", absl::StrJoin(m.shape, ", "), "]");
  const bool in_range = std::all_of(m.shape.begin(), m.shape.end(),
                                    [](int64_t size) { return size >= 1 && size <= kMaxAxis; });
  if (m.shape.size() != 3 || !in_range) {
    return absl::InvalidArgumentError(absl::StrCat(
        shape, ": expected channels, height and width of a sample, each from 1 to ", kMaxAxis));
  }
  if (m.patch < 1 || m.shape[1] % m.patch != 0 || m.shape[2] % m.patch != 0) {
    std::vector<int64_t> fit;
    for (int64_t p = 1; p <= std::min(m.shape[1], m.shape[2]); ++p) {
      if (m.shape[1] % p == 0 && m.shape[2] % p == 0) fit.push_back(p);
    }
    return absl::InvalidArgumentError(
        absl::StrCat("[model] patch = ", m.patch, " does not divide height and width of ", shape,
                     "; patches that fit: ", absl::StrJoin(fit, ", ")));
  }
  TL_RETURN_IF_ERROR(Positive("shape: values of a patch", m.patch_values()));
  TL_RETURN_IF_ERROR(Positive("shape: patches of a sample", m.patches()));
  if (m.classes < 0 || m.classes >= std::numeric_limits<int32_t>::max()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "[model] classes = ", m.classes, ": expected 0 (none) or their number, below 2^31-1"));
  }
  const auto foreign = [&](const char* key, const std::string& value) {
    return absl::InvalidArgumentError(absl::StrCat(
        "[model] ", key, " = ", value, " is a key of models of tokens, but ", shape, " is given"));
  };
  if (m.vocab != 0) return foreign("vocab", absl::StrCat(m.vocab));
  if (m.sliding_window != 0) return foreign("sliding_window", absl::StrCat(m.sliding_window));
  if (!m.tie_embeddings) return foreign("tie_embeddings", "false");
  if (m.rope_scaling.factor != 1.0)
    return foreign("rope_scaling.factor", absl::StrCat(m.rope_scaling.factor));
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
  TL_RETURN_IF_ERROR(m.of_values() ? ValidateShape(m) : ValidateTokens(m));
  TL_RETURN_IF_ERROR(ValidateHeads(m));
  TL_RETURN_IF_ERROR(ValidateRope(m));
  TL_RETURN_IF_ERROR(Finite("norm_eps", m.norm_eps, false));
  return Finite("init_std", m.init_std, true);
}

ConfigSection ModelSection() {
  using M = ModelConfig;
  SectionOf<M> s("model", "the trunk: a Llama-style transformer", &Config::model);
  const auto key = [&](const char* name, auto field, const char* doc) -> ConfigKey& {
    return s.Key(name, field, doc).Changes(AtResume::kModel);
  };
  const auto values = [](const Config& c) { return c.model.of_values(); };
  const auto tokens = [](const Config& c) { return !c.model.of_values(); };
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
      "tokens in the vocabulary, where there is no shape; padded where it is split, padding never "
      "gets probability")
      .In(kZeroOrMore)
      .Required()
      .Where(tokens)
      .Known({"vocab_size", "padded_vocab_size"});
  key("shape", &M::shape,
      "channels, height and width of a sample of values, as a picture; []: samples are tokens")
      .In({1, kMaxAxis})
      .Known({"image_size", "input_size"});
  key("patch", &M::patch, "height and width of a patch of a sample, which a row stands for")
      .In({1, kMaxAxis})
      .Where(values)
      .Known({"patch_size"});
  key("classes", &M::classes, "that samples of values may be of; 0: they have none")
      .In(kZeroOrMore)
      .Where(values)
      .Known({"num_classes"});
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
