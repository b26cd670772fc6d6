// SPDX-License-Identifier: Apache-2.0
#include "train/plan_check.h"

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace tl {
absl::Status CheckPlan(const Config& config, const Model& model, absl::Span<const MemoryRow> plan,
                       const MemoryPlanner& planner, const Mesh& mesh) {
  const absl::Status status = CheckMemory(plan, mesh);
  if (status.ok()) return status;
  constexpr int64_t kFewest = 64;
  Config smaller = config;
  for (int64_t chunk = model.plan().loss_chunk() / 2; chunk >= kFewest; chunk /= 2) {
    smaller.train.loss_chunk = chunk;
    const auto planned = planner(smaller);
    if (planned.ok() && CheckMemory(*planned, mesh).ok())
      return absl::Status(
          status.code(), absl::StrCat(status.message(), "; [train] loss_chunk = ", chunk, " fits"));
  }
  return status;
}

absl::Status CheckPlan(const Config& config, const Stepper& stepper, Mesh& mesh,
                       absl::Span<const MemoryRow> besides) {
  const auto with = [&](std::vector<MemoryRow> plan) {
    plan.insert(plan.end(), besides.begin(), besides.end());
    return plan;
  };
  const auto planner = [&](const Config& other) -> absl::StatusOr<std::vector<MemoryRow>> {
    TL_ASSIGN_OR_RETURN(const auto planned, Stepper::Create(other, mesh));
    return with(planned->MemoryPlan());
  };
  return CheckPlan(config, stepper.model(), with(stepper.MemoryPlan()), planner, mesh);
}

}  // namespace tl
