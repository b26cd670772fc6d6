// Refuses a training that has not the memory it plans.
#pragma once

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "engine/memory.h"
#include "train/stepper.h"

namespace tl {

// CheckMemory of the plan of config's stepper, and of what its process holds besides. Where it is
// refused and smaller chunks of the loss would fit, the error names the largest [train] loss_chunk
// that does, of a half, a quarter, .. of the chunk, down to 64 tokens. Collective; all ranks get
// the same.
absl::Status CheckPlan(const Config& config, const Stepper& stepper, Mesh& mesh,
                       absl::Span<const MemoryRow> besides = {});

}  // namespace tl
