// SPDX-License-Identifier: Apache-2.0
// [precision]: number formats and loss scaling.
#pragma once

#include <cstdint>

namespace tl {

struct ConfigSection;

enum class Precision : uint8_t { kFp32, kBf16, kFp16 };

struct PrecisionConfig {
  Precision compute = Precision::kFp32;
  double loss_scale = 0.0;  // fp16: 0 = dynamic, else fixed
  double initial_loss_scale = 65536.0;
  int64_t growth_interval = 1000;
  double growth_factor = 2.0;
  double backoff_factor = 0.5;
  int64_t hysteresis = 1;  // overflows since the scale last grew before it falls
  double min_loss_scale = 1.0;
  bool operator==(const PrecisionConfig&) const = default;
};

// "fp32": the name in the config file.
const char* Name(Precision precision);

ConfigSection PrecisionSection();

}  // namespace tl
