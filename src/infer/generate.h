// Text from a trained model.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "comm/communicator.h"

namespace tl {

struct Config;  // engine/config.h

struct GenerateOptions {
  std::string prompt;
  int64_t max_tokens = 200;
  double temperature = 0.8;  // 0: the likeliest token each time
  uint64_t seed = 1;
  int64_t top_k = 0;  // 0: all
};

// Continues the prompt with the newest save in run_dir and prints prompt and text to stdout as it
// comes, on rank 0. Collective.
absl::Status Generate(const std::string& run_dir, const Config& run_config,
                      const GenerateOptions& options, Communicator& world);

}  // namespace tl
