// SPDX-License-Identifier: Apache-2.0
#include "train/trainer.h"

#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/exit_code.h"
#include "base/host_memory.h"
#include "base/logging.h"
#include "base/status.h"
#include "base/where.h"
#include "checkpoint/folder.h"
#include "checkpoint/run_text.h"
#include "comm/host.h"
#include "device/cuda_device.h"
#include "engine/placement.h"
#include "engine/roof.h"
#include "train/data.h"
#include "train/evaluate.h"
#include "train/health.h"
#include "train/inputs.h"
#include "train/machine.h"
#include "train/plan_check.h"
#include "train/progress.h"
#include "train/provenance.h"
#include "train/run_log.h"
#include "train/saves.h"
#include "train/signals.h"
#include "train/stepper.h"
#include "train/time_limit.h"

namespace tl {
namespace {

using Clock = std::chrono::steady_clock;

// Steps skipped in a row after which training is called hopeless.
constexpr int64_t kMaxSkippedInARow = 100;

double MillisecondsSince(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

void Print(const std::string& text) {
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);
}

struct Trainer {
  const Config& config;
  Communicator& world;
  Stepper& stepper;
  std::unique_ptr<DataSource> train, eval;
  std::optional<RunLog> log;  // rank 0's
  std::optional<Saves> saves;
  std::vector<MemoryRow> memory;  // planned
  MemoryRoom room;                // that the plan was made for
  double roof = 0.0;              // FLOP/s of one rank
  TimeLimit limit;
  bool told_stop = false;  // in events.jsonl

  int64_t LastStep() const {
    return config.run.stop_after > 0 ? std::min(config.run.stop_after, config.train.steps)
                                     : config.train.steps;
  }
  int64_t TokensPerStep() const {
    return config.train.global_batch_size * config.train.sequence_length;
  }

  // Trained on so far, as if all samples had been of this length.
  int64_t Tokens() const { return stepper.run().samples * config.train.sequence_length; }

  StopReason WantsToStop() const {
    return std::max(StopSignal(), limit.Reached(SecondsSinceStart()) ? StopReason::kTimeLimit
                                                                     : StopReason::kNone);
  }

  // *stop: the strongest reason of any rank, the same on all.
  void Report(const StepResult& result, double ms, StopReason* stop) {
    limit.TurnEnds(SecondsSinceStart());
    const Device device = stepper.engine().device();
    const int64_t bytes = device.type == DeviceType::kCuda ? cuda::AllocatedBytes(device.index)
                                                           : PeakResidentMemory();
    int32_t largest[] = {static_cast<int32_t>(bytes >> 10),  // KiB
                         static_cast<int32_t>(WantsToStop())};
    world.AllReduce(stepper.engine().stream(), Tensor::Of(largest, {2}), ReduceOp::kMax);
    *stop = static_cast<StopReason>(largest[1]);
    if (!log) return;
    std::vector<std::pair<std::string, float>> losses;
    for (const HeadResult& head : result.heads)
      losses.emplace_back(head.name, static_cast<float>(head.loss));
    const double samples_per_second =
        static_cast<double>(config.train.global_batch_size) / ms * 1e3;
    const double tokens_per_second = static_cast<double>(TokensPerStep()) / ms * 1e3;
    const double flops =
        tokens_per_second * stepper.model().plan().flops_per_token() / world.size();
    log->Step({.step = stepper.run().step,
               .tokens = Tokens(),
               .loss = result.loss,
               .counted = result.counted,
               .losses = losses,
               .heads = result.heads,
               .lr = result.lr,
               .grad_norm = result.grad_norm,
               .loss_scale = result.loss_scale,
               .skipped = stepper.run().skipped,
               .step_ms = ms,
               .tokens_per_second = tokens_per_second,
               .samples_per_second = config.model.of_values() ? samples_per_second : 0.0,
               .tflops = flops / 1e12,
               .mfu = roof > 0 ? flops / roof : 0.0,
               .memory_bytes = int64_t{largest[0]} << 10});
  }

  absl::Status Evaluate() {
    if (eval == nullptr) return absl::OkStatus();
    const Doing doing("evaluating");
    const auto start = Clock::now();
    TL_ASSIGN_OR_RETURN(const EvalResult result,
                        stepper.Evaluate(*eval, config.train.eval_batches));
    const EvalReport report{.step = stepper.run().step,
                            .tokens = Tokens(),
                            .eval_targets = result.targets,
                            .eval_loss = result.loss,
                            .bits_per_byte = BitsPerByte(result, *eval),
                            .bits_unit = BitsUnit(config.model),
                            .targets_are = config.model.of_values() ? "samples" : "targets",
                            .heads = result.heads,
                            .eval_ms = MillisecondsSince(start)};
    if (result.targets == 0 && log)
      LogWarning("every target of the evaluation is masked: there is no loss");
    if (log) log->Evaluation(report);
    return absl::OkStatus();
  }

  void TellSave() {
    for (const Saves::Durable& save : saves->TakeDurable())
      if (log) log->Saved(save.step, save.seconds);
  }

  // At the end a checkpoint of now, durable when this returns; before it, one where it is due.
  absl::Status Save(StopReason stop) {
    const int64_t step = stepper.run().step;
    const bool stops = stop != StopReason::kNone;
    const absl::Status saved = stops || step == LastStep() ? saves->Now() : saves->AfterStep();
    TellSave();
    if (absl::IsAlreadyExists(saved)) {
      const std::string why =
          stops ? absl::StrCat("stopped by ", Name(stop), " after step ", step, " of ", LastStep())
                : "the training ends unhealthy";
      return EndWith(kExitFinding,
                     absl::StrCat(why, "; this step is not saved: ", saved.message()));
    }
    TL_RETURN_IF_ERROR(saved);
    limit.Saved(saves->seconds());
    return absl::OkStatus();
  }

  // What takes a stopped training up where it is.
  std::string Again() const {
    return config.checkpoint.resume == "auto"
               ? "started again,"
               : "started again with [checkpoint] resume = \"auto\",";
  }

  // How a training ends whose last step is saved.
  absl::Status Stopped(StopReason reason) const {
    const int64_t step = stepper.run().step, ill = stepper.run().unhealthy_since;
    const std::string folder = CheckpointFolder(config, config.run.dir);
    if (step == LastStep()) {
      if (log && eval != nullptr)
        LogWarning(absl::StrCat("no last evaluation: stopped by ", Name(reason), "; ", Again(),
                                " it is made"));
      return absl::OkStatus();
    }
    return EndWith(ExitCodeOf(reason),
                   absl::StrCat("stopped by ", Name(reason), " after step ", step, " of ",
                                LastStep(), ", which is saved in ", folder,
                                ill > 0 ? absl::StrCat(", but unhealthy since step ", ill, ". ",
                                                       WayBack(folder, ill), "; resume = \"",
                                                       folder, "/", CheckpointName(step),
                                                       "\" goes on from the unhealthy one")
                                        : absl::StrCat("; ", Again(), " it goes on")));
  }

  // The first step has run all the code there is: what the plan holds back for it shows.
  void ReportMemory() const {
    const Device device = stepper.engine().device();
    if (device.type == DeviceType::kCuda && log)
      LogInfo(absl::StrCat("memory of ", ToString(device), " after the first step: ",
                           Describe(FindTaken(room, memory, device.index))));
  }

  // Saves first where an error ends the training that leaves the state of all ranks whole, that of
  // the last step. begun: the step it started from.
  absl::Status SaveBeforeEnd(const absl::Status& error, int64_t begun) {
    const int64_t step = stepper.run().step;
    if (error.ok() || step == begun) return error;
    const absl::Status saved = saves->Now();
    TellSave();
    const std::string what =
        saved.ok() ? absl::StrCat(" is saved in ", CheckpointFolder(config, config.run.dir),
                                  stepper.run().unhealthy_since > 0 ? ", as unhealthy" : "")
                   : absl::StrCat(" could not be saved: ", saved.message());
    return {error.code(), absl::StrCat(error.message(), "; step ", step, what)};
  }

  absl::Status Loop() {
    const int64_t last = LastStep(), begun = stepper.run().step;
    limit.TurnEnds(SecondsSinceStart());
    StepWatch watch(CheckpointFolder(config, config.run.dir), stepper.run());
    int64_t skipped_in_a_row = 0;
    bool first = true;
    while (stepper.run().step < last) {
      const auto start = Clock::now();
      SetStep(stepper.run().step + 1);
      const absl::StatusOr<StepResult> ran = stepper.Run(*train);
      if (!ran.ok()) return SaveBeforeEnd(ran.status(), begun);
      const StepResult& result = *ran;
      StopReason stop = StopReason::kNone;
      Report(result, MillisecondsSince(start), &stop);
      if (std::exchange(first, false)) ReportMemory();
      if (log) watch.Tell(result, stepper.run());
      skipped_in_a_row = result.skipped ? skipped_in_a_row + 1 : 0;
      if (skipped_in_a_row >= kMaxSkippedInARow) {
        const std::string why =
            Hopeless(CheckpointFolder(config, config.run.dir), stepper.run(), skipped_in_a_row);
        return SaveBeforeEnd(absl::AbortedError(why), begun);
      }
      const int64_t step = stepper.run().step;
      if (stop != StopReason::kNone && log) {
        log->Stopped(step, Name(stop));
        told_stop = true;
      }
      // First the save: a bad file to evaluate on costs no training.
      TL_RETURN_IF_ERROR(Save(stop));
      if (stop != StopReason::kNone) return Stopped(stop);
      if (EvaluatesAt(step)) TL_RETURN_IF_ERROR(SaveBeforeEnd(Evaluate(), begun));
    }
    return absl::OkStatus();
  }

  bool EvaluatesAt(int64_t step) const {
    const int64_t every = config.train.eval_every;
    return step == LastStep() || (every > 0 && step % every == 0);
  }

  // The evaluation that a stop or a crash after the save came before.
  absl::Status EvaluateWhatWasMissed() {
    const int64_t step = stepper.run().step;
    int32_t missed = log && step > 0 && EvaluatesAt(step) && log->last_evaluation() != step;
    Stream stream = Stream::Cpu();
    world.Broadcast(stream, Tensor::Of(&missed, {1}), 0);
    return missed != 0 ? Evaluate() : absl::OkStatus();
  }
};

}  // namespace

absl::Status Train(const Config& config, Communicator& world) {
  const bool root = world.rank() == 0;
  TL_ASSIGN_OR_RETURN(const RunInputs inputs, CheckInputs(config, world));
  TL_ASSIGN_OR_RETURN(Mesh mesh, MakeMesh(config, world));
  TL_ASSIGN_OR_RETURN(const auto stepper, Stepper::Create(config, mesh));

  Trainer trainer{.config = config,
                  .world = world,
                  .stepper = *stepper,
                  .train = nullptr,
                  .eval = nullptr,
                  .log = std::nullopt,
                  .saves = std::nullopt,
                  .memory = stepper->MemoryPlan(),
                  .room = {},
                  .limit = TimeLimit(config.checkpoint.time_limit)};
  std::vector<WeightedPath> files = config.data.train;
  files.insert(files.end(), config.data.eval.begin(), config.data.eval.end());
  TL_RETURN_IF_ERROR(CheckOneKind(config, files, world));
  TL_ASSIGN_OR_RETURN(trainer.train, OpenTrainingData(config, world));
  if (!config.data.eval.empty()) {
    TL_ASSIGN_OR_RETURN(trainer.eval, OpenHeldOutData(config, config.data.eval, world));
  }
  std::vector<MemoryRow>& memory = trainer.memory;
  const MemoryRow copy = {"checkpoint copy", stepper->CheckpointBytes(config.checkpoint.async)};
  const Device device = mesh.place().device;
  if (device.type == DeviceType::kCpu) {
    memory.push_back(copy);
    TL_RETURN_IF_ERROR(CheckPlan(config, *stepper, mesh, {copy}));
  } else {
    TL_RETURN_IF_ERROR(CheckHostMemory({stepper->Batches(), copy}, world));
    TL_RETURN_IF_ERROR(CheckPlan(config, *stepper, mesh));
  }
  TL_RETURN_IF_ERROR(AgreeOnStatus(world, root ? RunLog::Check(config.run.dir) : absl::OkStatus()));
  // What can be refused without a trace in the run's folder has been.
  TL_RETURN_IF_ERROR(
      AgreeOnStatus(world, root ? MakeWritableFolder(config.run.dir) : absl::OkStatus()));
  const int local_ranks = LocalRanks(world);
  trainer.room = FindMemory(mesh);
  // Before anything of the plan is taken.
  if (root) {
    Print(Banner(
        config,
        {.ranks = world.size(),
         .threads = omp_get_max_threads(),
         .hosts = world.size() / local_ranks,
         .parameters = static_cast<int64_t>(stepper->model().params().parameters()),
         .flops_per_token = stepper->model().plan().flops_per_token(),
         .train_tokens = trainer.train->TokenCount(),
         .device = device.type == DeviceType::kCpu ? Describe(ReadCpuInfo()) : Describe(mesh),
         .memory = memory,
         .memory_available = trainer.room.bytes / trainer.room.ranks}));
    WarnOfScale(config, *trainer.train);
  }
  {
    Stream stream = Stream::On(device);
    trainer.roof = MeasureGemmRate(stream, stepper->model().options().compute);
  }
  stepper->Allocate();
  const auto provenance = ReadProvenance(config, mesh, device);
  // Before anything is looked for: a run that is about to end may still save, and one that died may
  // have left a checkpoint under another name.
  TL_ASSIGN_OR_RETURN(Saves saves, Saves::Open(config, provenance, inputs, *stepper, world));
  TL_RETURN_IF_ERROR(LoadOrInitialize(config, provenance, inputs, *stepper, world));
  trainer.saves.emplace(std::move(saves));

  absl::Status opened;
  if (root) {
    auto log = RunLog::Open(config, stepper->run().step);
    opened = log.status();
    if (log.ok()) trainer.log.emplace(std::move(log).value());
    Print(BannerEnd(trainer.roof, stepper->run().step));
  }
  TL_RETURN_IF_ERROR(AgreeOnStatus(world, opened));
  const bool trains = stepper->run().step < trainer.LastStep();
  if (trainer.log && trains)
    trainer.log->Started(
        {.step = stepper->run().step,
         .provenance = provenance,
         .ranks = world.size(),
         .hosts = world.size() / local_ranks,
         .parameters = static_cast<int64_t>(stepper->model().params().parameters()),
         .flops_per_token = stepper->model().plan().flops_per_token(),
         .train_tokens = trainer.train->TokenCount(),
         .roof_tflops = trainer.roof / 1e12,
         .data = inputs.files});
  const RunStart start = stepper->run().step > 0 ? RunStart::kResumed : RunStart::kFresh;
  TL_RETURN_IF_ERROR(AgreeOnStatus(world, root ? SaveRunText(config, start) : absl::OkStatus()));
  if (stepper->run().step >= trainer.LastStep() && root)
    LogInfo("nothing to do: the newest checkpoint in " + CheckpointFolder(config, config.run.dir) +
            " is of step " + std::to_string(stepper->run().step));
  TL_RETURN_IF_ERROR(trainer.EvaluateWhatWasMissed());
  absl::Status end = trainer.Loop();
  // No success: what is done with its end is better not done.
  if (const int64_t since = stepper->run().unhealthy_since; end.ok() && since > 0)
    end = EndWith(kExitFinding,
                  absl::StrCat("the training ends unhealthy, since step ", since, ". ",
                               WayBack(CheckpointFolder(config, config.run.dir), since)));
  if (trainer.log) {
    if (trains && !trainer.told_stop) trainer.log->Ended(stepper->run().step, end);
    trainer.log->Finish();
  }
  return end;
}

}  // namespace tl
