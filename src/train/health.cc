// SPDX-License-Identifier: Apache-2.0
#include "train/health.h"

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/logging.h"
#include "checkpoint/folder.h"
#include "checkpoint/health.h"
#include "train/stepper.h"

namespace tl {
namespace {

bool LossIsFinite(const StepResult& step) { return !step.counted || std::isfinite(step.loss); }

}  // namespace

void JudgeStep(const StepResult& step, const LossScaler& scaler, bool weights_finite,
               RunState* run) {
  const auto mark = [&](int64_t since) {
    if (run->unhealthy_since == 0) run->unhealthy_since = since;
  };
  const bool searched = scaler.dynamic && scaler.scale > scaler.min_scale;
  if (!LossIsFinite(step)) {
    mark(run->step);
  } else if (!step.skipped) {
    run->skips_in_a_row = 0;
    if (weights_finite) run->unhealthy_since = 0;
  } else if (!searched && ++run->skips_in_a_row >= kSkipsOfIllHealth) {
    mark(run->step - kSkipsOfIllHealth + 1);
  }
}

void StepWatch::Tell(const StepResult& step, const RunState& run) {
  if (run.unhealthy_since > 0 && unhealthy_since_ == 0) {
    const std::string what =
        !LossIsFinite(step)
            ? absl::StrCat("the loss is not finite",
                           step.skipped ? ", and its update is skipped" : "")
            : absl::StrCat("the gradients of ", kSkipsOfIllHealth,
                           " steps in a row are not finite, and their updates are skipped");
    LogWarning(absl::StrCat(
        "step ", run.step, ": ", what,
        ". Until a step succeeds the training is unhealthy: what it saves replaces no healthy "
        "checkpoint. ",
        WayBack(folder_, run.unhealthy_since)));
  } else if (run.unhealthy_since == 0 && run.skips_in_a_row == 1 && step.skipped &&
             skips_in_a_row_ == 0) {
    LogWarning(absl::StrCat("step ", run.step,
                            ": the gradients are not finite, and its update is skipped; ",
                            kSkipsOfIllHealth, " such steps in a row make a training unhealthy"));
  } else if (run.unhealthy_since == 0 && unhealthy_since_ > 0) {
    LogInfo(absl::StrCat("step ", run.step, ": healthy again; it was not since step ",
                         unhealthy_since_));
  }
  unhealthy_since_ = run.unhealthy_since;
  skips_in_a_row_ = run.skips_in_a_row;
  if (!step.counted && !std::exchange(without_targets_, true)) {
    LogWarning(absl::StrCat("step ", run.step,
                            ": every target of its batch is masked: it has no loss and teaches "
                            "nothing, nor do those after it until targets are seen again"));
  } else if (step.counted && std::exchange(without_targets_, false)) {
    LogInfo(absl::StrCat("step ", run.step, ": has targets again"));
  }
}

std::string WayBack(const std::string& folder, int64_t since) {
  const std::string healthy = NewestHealthy(folder);
  if (healthy.empty()) return absl::StrCat("There is no healthy checkpoint in ", folder, " yet");
  // Skipped steps change no weights, and the first of a streak may be saved as healthy.
  bool same = false;
  for (int64_t step = since - 1; step < since + kSkipsOfIllHealth - 1; ++step)
    same |= healthy == absl::StrCat(folder, "/", CheckpointName(step));
  return absl::StrCat("The newest healthy checkpoint is ", healthy,
                      "; a start with [checkpoint] resume = \"auto\" goes back to it",
                      same ? ". It has the weights that fail now: if it fails again, name an older "
                             "one with resume"
                           : "");
}

std::string Hopeless(const std::string& folder, const RunState& run, int64_t skipped_in_a_row) {
  const int64_t since =
      run.unhealthy_since > 0 ? run.unhealthy_since : run.step - skipped_in_a_row + 1;
  return absl::StrCat("step ", run.step, ": the gradients of ", skipped_in_a_row,
                      " steps in a row were not finite; the training is unhealthy since step ",
                      since, ". ", WayBack(folder, since),
                      ". What was so will be so again, unless a lower [optimizer] lr or clip, a "
                      "longer warm-up, other data or another [precision] compute changes it");
}

}  // namespace tl
