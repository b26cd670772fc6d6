// SPDX-License-Identifier: Apache-2.0
// Everything a training says about itself, on one rank: the screen, metrics.jsonl, events.jsonl and
// TensorBoard.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "config/config.h"
#include "train/events.h"
#include "train/metrics.h"
#include "train/progress.h"
#include "train/tensorboard.h"

namespace tl {

class RunLog {
 public:
  // Whether config.toml, metrics.jsonl and events.jsonl in [run] dir are such as Open writes, or not
  // there: it would replace them. The one check that keeps a config that somebody wrote.
  static absl::Status Check(const std::string& dir);
  // Makes [run] dir, writes the resolved config into it as config.toml, and opens metrics.jsonl,
  // events.jsonl and an event file of TensorBoard. What the first and the last hold of steps after
  // resume_step is dropped. Errors name the path.
  static absl::StatusOr<RunLog> Open(const Config& config, int64_t resume_step);

  // Files get every step; the screen every [run] log_every-th, the first and the last. A file that
  // cannot be written is no reason to lose a training: it is warned of, and what is missing follows
  // as soon as it can be written.
  void Step(const StepReport& report);
  void Evaluation(const EvalReport& report);
  // For events.jsonl, see train/events.h. A line that cannot be written waits, and is warned of at
  // the end alone.
  void Started(const StartEvent& event) { (void)events_.Write(event); }
  void Saved(int64_t step, double seconds) { (void)events_.Write("save", step, "", seconds); }
  void Stopped(int64_t step, const std::string& why) { (void)events_.Write("stop", step, why); }
  void Ended(int64_t step, const absl::Status& end);
  int64_t last_evaluation() const { return metrics_.last_evaluation(); }
  // Writes what still waits, or says that it is lost.
  void Finish();

 private:
  RunLog(MetricsFile metrics, EventsFile events, TensorBoardFile tensorboard, const Config& config,
         int64_t resume_step);

  // Of a step's writes: says it when files begin to fail, and when they are whole again.
  void Judge(const absl::Status& metrics, const absl::Status& tensorboard);

  MetricsFile metrics_;
  EventsFile events_;
  TensorBoardFile tensorboard_;
  int64_t first_step_;
  int64_t last_step_;
  int64_t log_every_;
  Progress progress_;
  bool failing_ = false;
};

}  // namespace tl
