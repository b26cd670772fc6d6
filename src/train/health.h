// SPDX-License-Identifier: Apache-2.0
// Whether the state of a training may be trusted.
//   A step whose loss is not finite is bad at once: a loss is never scaled, and no lower scale
//   heals it. A step whose update was skipped because gradients were not finite, while the loss is,
//   has changed no weight: only kSkipsOfIllHealth of them without an update between are bad. Skips
//   of a dynamic loss scale that has overflowed and can still fall do not count: it looks for its
//   size. A state is unhealthy since the first bad step after its last good one, a step whose
//   update was made with a finite loss; or since it was seen to have weights that are not finite,
//   as long as it has them.
// Skipped steps change no weights, so that all states of such a streak have those of the step
// before it. An unhealthy state is saved as any other, but marked: it replaces no healthy one, and
// a start passes over it (checkpoint/health.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "checkpoint/run_state.h"
#include "config/config.h"

namespace tl {

struct StepResult;

inline constexpr int64_t kSkipsOfIllHealth = 3;

// scaler: as the step used it. run: after the step.
void JudgeStep(const StepResult& step, const LossScaler& scaler, bool weights_finite,
               RunState* run);

// Says on rank 0 when a streak of skips or bad steps begins and when a bad one ends, and of steps
// without a target; each once per streak.
class StepWatch {
 public:
  // folder: of the checkpoints. before: the state that the first step starts from.
  StepWatch(std::string folder, const RunState& before)
      : folder_(std::move(folder)),
        unhealthy_since_(before.unhealthy_since),
        skips_in_a_row_(before.skips_in_a_row) {}
  // run: after the step.
  void Tell(const StepResult& step, const RunState& run);

 private:
  std::string folder_;
  int64_t unhealthy_since_, skips_in_a_row_;
  bool without_targets_ = false;
};

// Where a training can go back to that is unhealthy since this step: "The newest healthy checkpoint
// is ...".
std::string WayBack(const std::string& folder, int64_t since);
// How a training ends whose last so many steps were all skipped.
std::string Hopeless(const std::string& folder, const RunState& run, int64_t skipped_in_a_row);

}  // namespace tl
