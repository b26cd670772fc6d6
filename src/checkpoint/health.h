// Which checkpoints of a folder may be trusted. A training marks what it saves while its steps fail
// (train/health.h): such a checkpoint is whole, and unhealthy.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace tl {

// The step since which the training that saved the checkpoint at `path` had been unhealthy; 0: it
// was healthy, or what it says cannot be read. Reads the manifest's beginning alone.
int64_t UnhealthySince(const std::string& path);

// From the newest to the oldest: puts unhealthy ones behind the healthy ones.
std::vector<std::string> HealthyFirst(std::vector<std::string> paths);
// What a user must know of paths from the newest to the oldest, of which HealthyFirst chooses: that
// the newest is passed over, or is unhealthy and taken. Empty where it is healthy.
std::string HealthNotice(const std::vector<std::string>& paths);

// The path of the newest healthy one in a folder; empty where there is none.
std::string NewestHealthy(const std::string& folder);
// The name of the one in a folder that is tried first when a model is loaded from there: the newest
// healthy one, or, where there is none, the newest; empty where there is no checkpoint.
std::string FirstChoice(const std::string& folder);

}  // namespace tl
