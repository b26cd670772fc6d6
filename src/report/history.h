// SPDX-License-Identifier: Apache-2.0
// events.jsonl: when a training started, went on, saved, stopped and ended, and on what.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "data/file_identity.h"

namespace tl {

struct RunEvent {
  enum class Kind : uint8_t { kStart, kSave, kStop, kError, kEnd } kind;
  int64_t step = 0;  // steps done
  int64_t time = 0;  // seconds since 1970; 0: not told
  std::string text;  // why it stopped, or the error
};

struct History {
  std::vector<RunEvent>
      events;  // in their order; saves that a later start went back behind are out
  // Of the last start: "program", "device", "libraries", "threads", "grid", "precision", "ranks",
  // "hosts", "parameters", "flops_per_token", "train_tokens", "roof_tflops".
  std::map<std::string, std::string> facts;
  std::vector<FileIdentity> data;
};

// Passes over lines that are none of its own. No file is no history.
absl::StatusOr<History> ReadHistory(const std::string& path);

}  // namespace tl
