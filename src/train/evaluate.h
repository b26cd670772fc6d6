// The loss of a trained model on text.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "comm/communicator.h"
#include "engine/config.h"

namespace tl {

struct EvalOptions {
  std::string run_dir;             // a run folder with a save
  std::vector<WeightedPath> data;  // empty: [data] eval of the run
  int64_t batches = 0;             // micro batches per data rank; 0: the whole of it
};

// Prints the loss and, where the tokenizer allows, bits per byte on rank 0. Collective.
absl::Status Evaluate(const EvalOptions& options, const Config& run_config, Communicator& world);

}  // namespace tl
