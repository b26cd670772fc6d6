// SPDX-License-Identifier: Apache-2.0
#include "train/saves.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/logging.h"
#include "base/status.h"
#include "base/where.h"
#include "checkpoint/health.h"
#include "config/changes.h"
#include "config/parse.h"
#include "objective/keys.h"
#include "train/provenance.h"

namespace tl {

namespace {

// Warns of what goes on otherwise than the training that saved would have.
void WarnOfChanges(const std::map<std::string, std::string>& provenance, const RunInputs& inputs,
                   const Stepper::Resumed& resumed, const ConfigChanges& changes) {
  const std::string differences = Differences(provenance, resumed.provenance);
  if (!differences.empty())
    LogWarning("bits may differ from those of a training without interruption: " + differences);
  const auto data = changes.Of(AtResume::kData), objective = changes.Of(AtResume::kLoss);
  if (!data.empty())
    LogWarning(Describe(data) + ": text may be seen again or passed over from here on");
  const std::string train = ContentChanges("data.train", inputs.files, resumed.data);
  if (!train.empty()) LogWarning(train + ": text may be seen again or passed over from here on");
  const std::string eval = ContentChanges("data.eval", inputs.files, resumed.data);
  if (!eval.empty()) LogWarning(eval + ": evaluations do not compare with those before");
  if (!objective.empty()) LogWarning(Describe(objective) + ": another loss from here on");
}

// An average of weights may begin or end with a resume.
void TellAverage(const OptimizerConfig& optimizer, const Stepper::Resumed& resumed) {
  if (optimizer.ema > 0.0 && !resumed.had_average)
    LogWarning(absl::StrCat("[optimizer] ema = ", optimizer.ema, ": ", resumed.path,
                            " holds no average of weights; it starts as the weights are there"));
  if (optimizer.ema == 0.0 && resumed.had_average)
    LogWarning(absl::StrCat("[optimizer] ema = 0: the average of weights in ", resumed.path,
                            " is ignored, and later checkpoints have none"));
}

// The next start would go on from them.
void WarnOfLaterCheckpoints(const std::string& folder, int64_t step) {
  for (const CheckpointEntry& entry : ListCheckpoints(folder)) {
    if (entry.step <= step) return;
    if (UnhealthySince(entry.path) > 0) continue;
    LogWarning(absl::StrCat(entry.path, " is of a later step than ", step,
                            ", where this training starts. A start with [checkpoint] resume = "
                            "\"auto\" takes the latest: move it away, or set another [run] dir"));
    return;
  }
}

// The learning rate and the weights of heads follow from the whole schedule: another one is felt at
// once.
void WarnOfJumps(const Config& config, const ConfigChanges& changes, const Stepper& stepper) {
  const int64_t step = stepper.run().step;
  if (step >= config.train.steps) return;
  const Schedule now = stepper.schedule();
  const Schedule before = MakeSchedule(changes.before.optimizer, changes.before.train.steps);
  const auto schedule = changes.Of(AtResume::kSchedule);
  const double rate = now.Rate(step), expected = before.Rate(step);
  if (std::abs(rate - expected) > 1e-9 * std::max(std::abs(rate), std::abs(expected))) {
    LogWarning(
        absl::StrFormat("%s: the learning rate jumps: %.3g in step %d, which would have "
                        "had %.3g",
                        Describe(schedule), rate, step + 1, expected));
  }
  const Objective& objective = stepper.model().objective();
  for (int head = 0; head < objective.head_count(); ++head) {
    const double weight = objective.Weight(head, step, now.steps);
    const double was = objective.Weight(head, step, before.steps);
    if (weight == was) continue;
    LogWarning(absl::StrFormat(
        "%s: the weight of head %s in the loss jumps: %.3g in step %d, "
        "which would have had %.3g",
        Describe(schedule), objective.heads()[static_cast<size_t>(head)], weight, step + 1, was));
  }
}

}  // namespace

absl::Status LoadOrInitialize(const Config& config,
                              const std::map<std::string, std::string>& provenance,
                              const RunInputs& inputs, Stepper& stepper, Communicator& world) {
  const std::string where = ResumesFrom(config, world);
  if (!where.empty()) {
    const Doing doing("resuming");
    TL_ASSIGN_OR_RETURN(const Stepper::Resumed resumed, stepper.Resume(where));
    const ConfigChanges changes = FindChanges(AllKeys(), config, resumed.config);
    const auto model = changes.Of(AtResume::kModel);
    if (!model.empty()) {
      return absl::FailedPreconditionError(
          absl::StrCat(resumed.path, ": of another model: ", Describe(model),
                       "; to start from its weights set [run] init_from, and another [run] dir"));
    }
    if (world.rank() == 0) {
      LogInfo("resumed from " + resumed.path);
      WarnOfChanges(provenance, inputs, resumed, changes);
      WarnOfJumps(config, changes, stepper);
      TellAverage(config.optimizer, resumed);
    }
  } else if (!config.run.init_from.empty()) {
    TL_ASSIGN_OR_RETURN(const WhichWeights which, stepper.StartFrom(config.run.init_from));
    if (which == WhichWeights::kAveraged && world.rank() == 0)
      LogInfo("starts from the average of weights in " + config.run.init_from);
  } else {
    stepper.Initialize();
  }
  if (config.checkpoint.resume != "auto" && world.rank() == 0)
    WarnOfLaterCheckpoints(CheckpointFolder(config, config.run.dir), stepper.run().step);
  const bool marked = stepper.run().unhealthy_since > 0;
  stepper.CheckWeights();
  if (!marked && stepper.run().unhealthy_since > 0 && world.rank() == 0)
    LogWarning("some weights that this training starts from are not finite");
  return absl::OkStatus();
}

absl::StatusOr<Saves> Saves::Open(const Config& config,
                                  std::map<std::string, std::string> provenance,
                                  const RunInputs& inputs, Stepper& stepper, Communicator& world) {
  Saves saves(config, stepper, world);
  const CheckpointConfig& c = config.checkpoint;
  TL_ASSIGN_OR_RETURN(saves.checkpointer_,
                      stepper.OpenCheckpoints({.folder = CheckpointFolder(config, config.run.dir),
                                               .run_dir = config.run.dir,
                                               .keep = c.keep,
                                               .keep_every = c.keep_every,
                                               .async = c.async,
                                               .config = WriteResolved(AllKeys(), config),
                                               .provenance = std::move(provenance),
                                               .data = inputs.files,
                                               .tokenizer_hash = inputs.tokenizer_hash}));
  return saves;
}

absl::Status Saves::Judge(const absl::Status& save) {
  if (save.ok()) {
    saved_ = saving_;
    seconds_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun_).count();
    durable_.push_back({saved_, seconds_});
    failed_in_a_row_ = 0;
    return absl::OkStatus();
  }
  ++failed_in_a_row_;
  if (failed_in_a_row_ >= config_.max_failed_saves) {
    if (failed_in_a_row_ == 1) return save;
    return {save.code(), absl::StrCat(failed_in_a_row_,
                                      " saves in a row failed, as many as "
                                      "[checkpoint] max_failed_saves allows; the last: ",
                                      save.message())};
  }
  if (world_->rank() == 0)
    LogError(absl::StrCat("the save of step ", saving_, " failed (", failed_in_a_row_, " of ",
                          config_.max_failed_saves, " in a row): ", save.message(),
                          "; training goes on, checkpoints before it are as they were"));
  return absl::OkStatus();
}

absl::Status Saves::Begin() {
  saving_ = stepper_->run().step;
  begun_ = std::chrono::steady_clock::now();
  stepper_->CheckWeights();
  return checkpointer_->Start(stepper_->engine().stream(), stepper_->run());
}

absl::Status Saves::AfterStep() {
  const Doing doing("saving");
  const auto poll = [&](absl::Status status) {
    return status.ok() && checkpointer_->in_flight() ? absl::OkStatus() : Judge(status);
  };
  if (checkpointer_->in_flight()) TL_RETURN_IF_ERROR(poll(checkpointer_->Poll()));
  const int64_t step = stepper_->run().step;
  if (config_.every <= 0 || step % config_.every != 0) return absl::OkStatus();
  if (checkpointer_->in_flight()) TL_RETURN_IF_ERROR(Judge(checkpointer_->Wait()));
  const absl::Status begun = Begin();
  // No failure, and no cause to end: what is there is better.
  if (absl::IsAlreadyExists(begun)) {
    if (world_->rank() == 0)
      LogWarning(absl::StrCat("step ", saving_, " is not saved: ", begun.message()));
    return absl::OkStatus();
  }
  if (!begun.ok()) return Judge(begun);
  return config_.async ? absl::OkStatus() : Judge(checkpointer_->Wait());
}

absl::Status Saves::Now() {
  const Doing doing("saving");
  if (checkpointer_->in_flight()) TL_RETURN_IF_ERROR(Judge(checkpointer_->Wait()));
  if (saved_ == stepper_->run().step) return absl::OkStatus();
  TL_RETURN_IF_ERROR(Begin());
  TL_RETURN_IF_ERROR(checkpointer_->Wait());
  return Judge(absl::OkStatus());
}

}  // namespace tl
