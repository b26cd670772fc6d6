// The rules of the [objective] section.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "config/objective.h"

namespace tl {

// Checks the section against its objective: required keys, ranges, and keys that belong to another
// objective. Messages name the key.
absl::Status Validate(const ObjectiveConfig& config);

// Heads, the main one included.
int HeadCount(const ObjectiveConfig& config);
// Blocks of a model of this many that stand in the trunk.
int64_t TrunkLayers(const ObjectiveConfig& config, int64_t layers);

}  // namespace tl
