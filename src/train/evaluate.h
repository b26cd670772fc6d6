// SPDX-License-Identifier: Apache-2.0
// The loss of a model on text.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "checkpoint/load.h"
#include "comm/communicator.h"
#include "config/config.h"
#include "data/source.h"
#include "engine/engine.h"

namespace tl {

struct EvalResult {
  float loss = 0.0f;  // of the main head; NaN where there are no targets
  int64_t targets = 0;
  std::vector<HeadResult> heads;
  // See Objective::bounds: NaN where it has none.
  double bound = std::numeric_limits<double>::quiet_NaN();
};

// Of text its mean, and of pictures of bytes, a byte a dimension, an upper bound; nullopt where the
// data does not tell bytes, or nothing was counted.
std::optional<double> BitsPerByte(const EvalResult& result, const DataSource& data);
// What these are called: of pictures "bits/dim".
const char* BitsUnit(const ModelConfig& model);

// Runs at most `batches` micro-batches per data rank, 0: all of the source. Collective.
absl::StatusOr<EvalResult> Evaluate(Engine& engine, const DataSource& data, int64_t batches);

struct EvalOptions {
  std::string run_dir;             // a run folder with a save
  std::vector<WeightedPath> data;  // empty: [data] eval of the run
  int64_t batches = 0;             // micro batches per data rank; 0: the whole of it
  int64_t samples = 0;             // of values, the first so many; 0: the whole of it
  WhichWeights weights = WhichWeights::kAveragedIfThere;
};

// Prints the loss of a trained model and, where the tokenizer allows, bits per byte on rank 0.
// Holds its weights and the activations of one micro-batch. Collective.
absl::Status Evaluate(const EvalOptions& options, const Config& run_config, Communicator& world);

}  // namespace tl
