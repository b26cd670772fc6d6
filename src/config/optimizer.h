// SPDX-License-Identifier: Apache-2.0
// [optimizer]: the update and its learning rate.
#pragma once

#include <cstdint>
#include <string>

namespace tl {

struct ConfigSection;

enum class ScheduleKind : uint8_t { kConstant, kCosine, kLinear, kWsd };

struct OptimizerConfig {
  std::string name = "adamw";
  double lr = 3e-4;
  double min_lr = 0.0;
  int64_t warmup_steps = 0;
  ScheduleKind schedule = ScheduleKind::kCosine;
  double decay_fraction = 0.2;  // wsd: the part of the steps that decays, at the end
  double weight_decay = 0.1;
  bool decay_embeddings = false;
  bool decay_norms = false;
  double beta1 = 0.9;
  double beta2 = 0.95;
  double eps = 1e-8;
  double clip = 1.0;  // 0: none
  double ema = 0.0;   // decay of the average of weights; 0: none
  bool operator==(const OptimizerConfig&) const = default;
};

// "cosine": the name in the config file.
const char* Name(ScheduleKind schedule);

ConfigSection OptimizerSection();

}  // namespace tl
