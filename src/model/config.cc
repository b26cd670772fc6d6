#include "model/config.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"

namespace tl {
namespace {

// What the attention kernels take.
constexpr int64_t kMinHeadDim = 32;
constexpr int64_t kMaxHeadDim = 256;
constexpr int64_t kHeadDimMultiple = 8;

bool HeadDimFits(int64_t d) {
  return d >= kMinHeadDim && d <= kMaxHeadDim && d % kHeadDimMultiple == 0;
}

absl::Status Invalid(const std::string& message) { return absl::InvalidArgumentError(message); }

// Planning takes time with the square of the layers.
constexpr int64_t kMaxLayers = 1024;

absl::Status Positive(const char* key, int64_t value) {
  if (value >= 1 && value <= std::numeric_limits<int32_t>::max()) return absl::OkStatus();
  return Invalid(
      absl::StrCat("[model] ", key, " = ", value, ": expected a number from 1 to 2^31-1"));
}

absl::Status Finite(const char* key, double value, bool zero_allowed) {
  if (std::isfinite(value) && (value > 0.0 || (zero_allowed && value == 0.0))) {
    return absl::OkStatus();
  }
  return Invalid(absl::StrCat("[model] ", key, " = ", value, ": expected a ",
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
    return Invalid(
        absl::StrCat("[model] kv_heads = ", m.kv_heads, ": expected 0 (as many as heads) or more"));
  }
  const int64_t kv_heads = m.kv_heads_or_default();
  if (kv_heads > m.heads || m.heads % kv_heads != 0) {
    std::vector<int64_t> fit;
    for (int64_t k = 1; k <= m.heads; ++k) {
      if (m.heads % k == 0) fit.push_back(k);
    }
    return Invalid(absl::StrCat("[model] kv_heads = ", kv_heads, " does not divide heads = ",
                                m.heads, "; kv_heads that fit: ", absl::StrJoin(fit, ", ")));
  }
  if (m.head_dim == 0 && m.hidden % m.heads != 0) {
    return Invalid(absl::StrCat("[model] heads = ", m.heads, " does not divide hidden = ", m.hidden,
                                " (and head_dim is not given); ", HeadsThatFit(m.hidden)));
  }
  if (!HeadDimFits(m.head_dim_or_default())) {
    const std::string expected = absl::StrCat("expected a multiple of ", kHeadDimMultiple, " from ",
                                              kMinHeadDim, " to ", kMaxHeadDim);
    if (m.head_dim != 0)
      return Invalid(absl::StrCat("[model] head_dim = ", m.head_dim, ": ", expected));
    return Invalid(absl::StrCat("[model] hidden / heads = ", m.hidden, " / ", m.heads, " = ",
                                m.head_dim_or_default(), " per head: ", expected, "; ",
                                HeadsThatFit(m.hidden)));
  }
  return absl::OkStatus();
}

absl::Status ValidateRope(const ModelConfig& m) {
  TL_RETURN_IF_ERROR(Finite("rope_theta", m.rope_theta, false));
  const RopeScaling& s = m.rope_scaling;
  if (!std::isfinite(s.factor) || s.factor < 1.0) {
    return Invalid(absl::StrCat("[model.rope_scaling] factor = ", s.factor,
                                ": expected a number of at least 1 (1: no scaling)"));
  }
  if (s.factor == 1.0) return absl::OkStatus();
  TL_RETURN_IF_ERROR(Finite("rope_scaling.low_freq_factor", s.low_freq_factor, false));
  TL_RETURN_IF_ERROR(Finite("rope_scaling.high_freq_factor", s.high_freq_factor, false));
  if (s.low_freq_factor >= s.high_freq_factor) {
    return Invalid(absl::StrCat("[model.rope_scaling] low_freq_factor = ", s.low_freq_factor,
                                " must be less than high_freq_factor = ", s.high_freq_factor));
  }
  return Positive("rope_scaling.original_context", s.original_context);
}

}  // namespace

absl::Status Validate(const ModelConfig& m) {
  if (m.layers < 1 || m.layers > kMaxLayers) {
    return Invalid(
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
    return Invalid(absl::StrCat("[model] sliding_window = ", m.sliding_window,
                                ": expected 0 (none) or the number of keys seen"));
  }
  return absl::OkStatus();
}

}  // namespace tl
