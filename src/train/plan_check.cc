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

int64_t ChunkOf(const Config& config, const Engine& engine) {
  const EngineOptions& o = engine.options();
  const int64_t wanted = config.train.loss_chunk > 0 ? config.train.loss_chunk
                                                     : LossChunk(o.device.type, o.compute,
                                                                 engine.objective().local_vocab());
  return std::min(engine.rows(), wanted);
}

}  // namespace

absl::Status CheckPlan(const Config& config, const Stepper& stepper, Mesh& mesh,
                       absl::Span<const MemoryRow> besides) {
  const absl::Status status = Check(stepper, mesh, besides);
  if (status.ok()) return status;
  constexpr int64_t kFewest = 64;
  Config smaller = config;
  for (int64_t chunk = ChunkOf(config, stepper.engine()) / 2; chunk >= kFewest; chunk /= 2) {
    smaller.train.loss_chunk = chunk;
    const auto planned = Stepper::Create(smaller, mesh);
    if (planned.ok() && Check(**planned, mesh, besides).ok())
      return absl::Status(
          status.code(), absl::StrCat(status.message(), "; [train] loss_chunk = ", chunk, " fits"));
  }
  return status;
}

}  // namespace tl
