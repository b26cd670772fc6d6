// SPDX-License-Identifier: Apache-2.0
#include "config/precision.h"

#include "config/section.h"

namespace tl {

const char* Name(Precision precision) {
  switch (precision) {
    case Precision::kFp32:
      return "fp32";
    case Precision::kBf16:
      return "bf16";
    case Precision::kFp16:
      return "fp16";
  }
  return "?";
}

ConfigSection PrecisionSection() {
  SectionOf<PrecisionConfig> s("precision", "number formats and loss scaling", &Config::precision);
  s.Key("compute", &PrecisionConfig::compute,
        "of weights, activations and gradients; master weights and optimizer state are fp32")
      .Known({"dtype"});
  s.Key("loss_scale", &PrecisionConfig::loss_scale, "fp16: a fixed scale; 0: dynamic")
      .In(kZeroOrMore);
  s.Key("initial_loss_scale", &PrecisionConfig::initial_loss_scale,
        "fp16, dynamic: the scale of the first step")
      .In(kPositive);
  s.Key("growth_interval", &PrecisionConfig::growth_interval,
        "fp16, dynamic: steps without overflow before the scale grows")
      .In(kCount);
  s.Key("growth_factor", &PrecisionConfig::growth_factor, "fp16, dynamic: by this")
      .In({1, kCount.high, Range::kAboveLow});
  s.Key("backoff_factor", &PrecisionConfig::backoff_factor,
        "fp16, dynamic: the scale is multiplied by this after overflow")
      .In({0, 1, Range::kOpen});
  s.Key("hysteresis", &PrecisionConfig::hysteresis,
        "fp16, dynamic: overflows since the scale last grew before it falls")
      .In(kCount);
  s.Key("min_loss_scale", &PrecisionConfig::min_loss_scale,
        "fp16, dynamic: the scale falls no lower")
      .In(kPositive);
  return s.Take();
}

}  // namespace tl
