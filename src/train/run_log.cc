// SPDX-License-Identifier: Apache-2.0
#include "train/run_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/files.h"
#include "base/live_line.h"
#include "base/logging.h"
#include "base/screen.h"
#include "base/status.h"
#include "config/parse.h"
#include "objective/keys.h"
#include "train/colours.h"
#include "train/signals.h"

namespace tl {
namespace {

// A config names every data file, and there may be many.
constexpr int64_t kAnySize = std::numeric_limits<int64_t>::max();

// On a terminal with colours.
void PrintLine(const std::string& line) {
  const NoLiveLine none(STDOUT_FILENO);
  std::printf("%s\n", ScreenOf(STDOUT_FILENO).there() ? Coloured(line).c_str() : line.c_str());
  std::fflush(stdout);
}

int64_t LastStep(const Config& config) {
  const int64_t stop = config.run.stop_after;
  return stop > 0 ? std::min(stop, config.train.steps) : config.train.steps;
}

void AddHeads(const std::string& where, const std::vector<HeadResult>& heads,
              std::vector<Scalar>& scalars) {
  for (const HeadResult& head : heads) {
    if (head.targets == 0) continue;
    if (where == "eval" && heads.size() > 1)
      scalars.emplace_back("eval/loss/" + head.name, static_cast<float>(head.loss));
    for (const Measure& m : head.measures) {
      if (m.kind->plotted && m.of > 0)
        scalars.emplace_back(absl::StrCat(where, "/", m.kind->name, "/", head.name),
                             static_cast<float>(m.value));
    }
  }
  if (const std::vector<double> alphas = Acceptances(heads); !alphas.empty())
    scalars.emplace_back(where + "/accepted_length", static_cast<float>(AcceptedLength(alphas)));
}

}  // namespace

absl::Status RunLog::Check(const std::string& dir) {
  std::error_code error;
  // Who makes the folder finds what is in its way.
  if (!std::filesystem::is_directory(dir, error)) return absl::OkStatus();
  const std::string config = dir + "/config.toml";
  TL_RETURN_IF_ERROR(
      CheckReplaceable(config, [](absl::string_view) { return true; }, "a resolved config", {}));
  TL_RETURN_IF_ERROR(CheckReplaceable(dir + "/metrics.jsonl",
                                      [](absl::string_view begin) {
                                        return begin.empty() ||
                                               absl::StartsWith(begin, "{\"step\":");
                                      },
                                      "the metrics of a training", {}));
  TL_RETURN_IF_ERROR(
      CheckReplaceable(dir + "/events.jsonl", IsEvents, "the events of a training", {}));
  const auto file = OpenFile(config, O_RDONLY);
  if (!file.ok()) return absl::OkStatus();
  TL_ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(*file, kAnySize, config));
  if (IsResolved(AllKeys(), text)) return absl::OkStatus();
  return absl::FailedPreconditionError(
      config +
      ": somebody wrote it: it is not as a resolved config is written, which would replace it; "
      "keep it elsewhere, or set another [run] dir");
}

absl::StatusOr<RunLog> RunLog::Open(const Config& config, int64_t resume_step) {
  const std::string& dir = config.run.dir;
  TL_RETURN_IF_ERROR(MakeWritableFolder(dir));
  TL_RETURN_IF_ERROR(ReplaceFile(dir + "/config.toml", WriteResolved(AllKeys(), config)));
  TL_ASSIGN_OR_RETURN(MetricsFile metrics, MetricsFile::Open(dir + "/metrics.jsonl", resume_step));
  TL_ASSIGN_OR_RETURN(EventsFile events, EventsFile::Open(dir + "/events.jsonl", resume_step));
  TL_ASSIGN_OR_RETURN(TensorBoardFile tensorboard, TensorBoardFile::Open(dir, resume_step));
  return RunLog(std::move(metrics), std::move(events), std::move(tensorboard), config, resume_step);
}

RunLog::RunLog(MetricsFile metrics, EventsFile events, TensorBoardFile tensorboard,
               const Config& config, int64_t resume_step)
    : metrics_(std::move(metrics)),
      events_(std::move(events)),
      tensorboard_(std::move(tensorboard)),
      first_step_(resume_step + 1),
      last_step_(LastStep(config)),
      log_every_(config.run.log_every),
      progress_(last_step_) {}

void RunLog::Judge(const absl::Status& metrics, const absl::Status& tensorboard) {
  const absl::Status& bad = metrics.ok() ? tensorboard : metrics;
  const bool failing = !bad.ok();
  if (failing && !failing_)
    LogWarning(absl::StrCat(bad.message(),
                            "; training goes on, and what is missing there follows when it can be "
                            "written"));
  if (!failing && failing_) {
    const int64_t lost = metrics_.lost() + tensorboard_.lost();
    LogInfo(absl::StrCat("metrics.jsonl and TensorBoard's file are written again",
                         lost == 0 ? ", with all steps"
                                   : absl::StrCat(", but for ", lost, " records, which are lost")));
  }
  failing_ = failing;
}

void RunLog::Ended(int64_t step, const absl::Status& end) {
  if (end.ok()) {
    (void)events_.Write("end", step);
  } else {
    (void)events_.Write("error", step, std::string(end.message()));
  }
}

void RunLog::Finish() {
  EraseLiveLine();
  if (events_.waiting() > 0) {
    if (const absl::Status events = events_.Flush(); !events.ok())
      LogWarning(absl::StrCat(events.message(), "; the last ", events_.waiting(),
                              " lines of events.jsonl are lost"));
  }
  if (!failing_) return;
  const absl::Status metrics = metrics_.Flush(), tensorboard = tensorboard_.Flush();
  Judge(metrics, tensorboard);
  if (!failing_) return;
  LogError(absl::StrCat((metrics.ok() ? tensorboard : metrics).message(), "; the last ",
                        metrics_.waiting(), " lines of metrics.jsonl and ", tensorboard_.waiting(),
                        " records of TensorBoard's file are lost"));
}

void RunLog::Step(const StepReport& r) {
  const std::string line = progress_.Line(r);
  if (r.step % log_every_ == 0 || r.step == first_step_ || r.step == last_step_) {
    PrintLine(line);
  } else if (LiveLineDue(STDOUT_FILENO) && StopSignal() == StopReason::kNone) {
    ShowLiveLine(STDOUT_FILENO, progress_.LiveLine(r));
  }
  std::vector<Scalar> scalars = {
      {"train/lr", static_cast<float>(r.lr)},
      {"train/grad_norm", static_cast<float>(r.grad_norm)},
      {"train/loss_scale", static_cast<float>(r.loss_scale)},
      {"train/skipped", static_cast<float>(r.skipped)},
      {"speed/step_ms", static_cast<float>(r.step_ms)},
      {"speed/tokens_per_second", static_cast<float>(r.tokens_per_second)},
      {"speed/tflops", static_cast<float>(r.tflops)},
      {"speed/mfu", static_cast<float>(r.mfu)},
      {"memory/bytes", static_cast<float>(r.memory_bytes)}};
  if (r.samples_per_second > 0.0)
    scalars.emplace_back("speed/samples_per_second", static_cast<float>(r.samples_per_second));
  if (r.counted) scalars.emplace_back("train/loss", r.loss);
  if (r.losses.size() > 1) {
    for (const auto& [head, loss] : r.losses) scalars.emplace_back("train/loss/" + head, loss);
  }
  AddHeads("train", r.heads, scalars);
  Judge(metrics_.Write(r), tensorboard_.Write(r.step, scalars));
}

void RunLog::Evaluation(const EvalReport& r) {
  PrintLine(progress_.Line(r));
  std::vector<Scalar> scalars;
  if (r.eval_targets > 0) scalars.emplace_back("eval/loss", r.eval_loss);
  AddHeads("eval", r.heads, scalars);
  if (r.bits_per_byte) {
    scalars.emplace_back("eval/bits_per_byte", static_cast<float>(*r.bits_per_byte));
  }
  Judge(metrics_.Write(r), tensorboard_.Write(r.step, scalars));
}

}  // namespace tl
