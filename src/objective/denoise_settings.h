// SPDX-License-Identifier: Apache-2.0
// What [objective] name = "denoise" is told: the process, what the network predicts of it, and the
// noise that it is trained at.
#pragma once

#include <string>

#include "config/config.h"
#include "config/objective_keys.h"
#include "objective/diffusion.h"
#include "objective/training_times.h"

namespace tl {

struct DenoiseSettings {
  std::string process = "edm";
  std::string predict = "auto";  // the process's own
  std::string times = "auto";    // the process's own
  int64_t levels = 0;
  double sigma_min = 0.0, sigma_max = 0.0;  // 0: the process's own
  double sigma_data = ProcessOptions().sigma_data;
  double beta_min = ProcessOptions().beta_min, beta_max = ProcessOptions().beta_max;
  double p_mean = ProcessOptions().p_mean, p_std = ProcessOptions().p_std;
  double label_drop = 0.0;

  static const ObjectiveKeys<DenoiseSettings>& Keys();

  // Of settings that have passed ValidateDenoise.
  Diffusion diffusion() const;
  Process MakeProcess() const;
  Prediction prediction() const;
  TrainingTimes training_times() const;
};

// Refuses keys that the process does not read, ranges that are none, and a model of tokens.
absl::Status ValidateDenoise(const Config& config);

}  // namespace tl
