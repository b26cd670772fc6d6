// SPDX-License-Identifier: Apache-2.0
// Refuses a run that has not the memory it plans.
#pragma once

#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/memory.h"
#include "engine/model.h"
#include "train/stepper.h"

namespace tl {

// Plans a config on one rank.
using MemoryPlanner = std::function<absl::StatusOr<std::vector<MemoryRow>>(const Config&)>;

// Checks that there is memory for the plan of a config whose model is declared. Where there is not
// and smaller chunks of the loss would fit, the error names the largest [train] loss_chunk that
// does, of a half, a quarter, .. of the chunk, down to 64 tokens. Collective; all ranks get the
// same.
absl::Status CheckPlan(const Config& config, const Model& model, absl::Span<const MemoryRow> plan,
                       const MemoryPlanner& planner, const Mesh& mesh);

// The same of a training and of what its process holds besides.
absl::Status CheckPlan(const Config& config, const Stepper& stepper, Mesh& mesh,
                       absl::Span<const MemoryRow> besides = {});

}  // namespace tl
