// SPDX-License-Identifier: Apache-2.0
// A run: the sections of the config file. What a section's keys are stands beside its struct, what
// they must satisfy together in rules.h, and the whole table in table.h.
#pragma once

#include <string>

#include "config/checkpoint.h"
#include "config/data.h"
#include "config/model.h"
#include "config/objective.h"
#include "config/optimizer.h"
#include "config/parallel.h"
#include "config/precision.h"
#include "config/run.h"
#include "config/train.h"

namespace tl {

struct Config {
  ModelConfig model;
  ObjectiveConfig objective;
  DataConfig data;
  ParallelConfig parallel;
  PrecisionConfig precision;
  TrainConfig train;
  OptimizerConfig optimizer;
  CheckpointConfig checkpoint;
  RunSettings run;
  bool operator==(const Config&) const = default;
};

// The folder of a run's checkpoints; run_dir: where the run's folder is.
inline std::string CheckpointFolder(const Config& config, const std::string& run_dir) {
  return config.checkpoint.dir.empty() ? run_dir : config.checkpoint.dir;
}

}  // namespace tl
