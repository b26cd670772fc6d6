// SPDX-License-Identifier: Apache-2.0
// Which checkpoints of a folder may be trusted. A training marks what it saves while its steps fail
// (train/health.h): such a checkpoint is whole, and unhealthy.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace tl {

// Tells the step since which the training that saved `path` had been unhealthy; 0: it was healthy,
// or what it says cannot be read. Reads the manifest's beginning alone.
int64_t UnhealthySince(const std::string& path);

// Refuses (AlreadyExists) to save a state that is unhealthy since this step (0: it is healthy) in a
// folder as that of `step` where a healthy checkpoint has the name.
absl::Status CheckReplacesNoHealthy(const std::string& folder, int64_t step,
                                    int64_t unhealthy_since);

// Puts unhealthy ones behind the healthy ones; both stay in order, newest first.
std::vector<std::string> HealthyFirst(std::vector<std::string> paths);
// Says what a user must know of paths, newest first, of which HealthyFirst chooses:
// which unhealthy ones are passed over, or that the newest of them is taken as no other is whole.
// Empty where no unhealthy one is newer than the newest healthy one.
std::string HealthNotice(const std::vector<std::string>& paths);

// Returns the path of the newest healthy one in a folder; empty where there is none.
std::string NewestHealthy(const std::string& folder);
// Names the one in a folder that is tried first when a model is loaded from there: the newest
// healthy one, or, where there is none, the newest; empty where there is no checkpoint.
std::string FirstChoice(const std::string& folder);

}  // namespace tl
