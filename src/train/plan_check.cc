#include "train/plan_check.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "nn/lm_loss.h"

namespace tl {
namespace {

absl::Status Check(const Stepper& stepper, Mesh& mesh, absl::Span<const MemoryRow> besides) {
  std::vector<MemoryRow> plan = stepper.MemoryPlan();
  plan.insert(plan.end(), besides.begin(), besides.end());
  return CheckMemory(plan, mesh);
}

int64_t ChunkOf(const Model& model) {
  const ModelOptions& o = model.options();
  const int64_t wanted = o.loss_chunk > 0
                             ? o.loss_chunk
                             : LossChunk(o.device, o.compute, model.objective().local_vocab());
  return std::min(model.rows(), wanted);
}

}  // namespace

absl::Status CheckPlan(const Config& config, const Stepper& stepper, Mesh& mesh,
                       absl::Span<const MemoryRow> besides) {
  const absl::Status status = Check(stepper, mesh, besides);
  if (status.ok()) return status;
  constexpr int64_t kFewest = 64;
  Config smaller = config;
  for (int64_t chunk = ChunkOf(stepper.model()) / 2; chunk >= kFewest; chunk /= 2) {
    smaller.train.loss_chunk = chunk;
    const auto planned = Stepper::Create(smaller, mesh);
    if (planned.ok() && Check(**planned, mesh, besides).ok())
      return absl::Status(
          status.code(), absl::StrCat(status.message(), "; [train] loss_chunk = ", chunk, " fits"));
  }
  return status;
}

}  // namespace tl
