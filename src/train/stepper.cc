// SPDX-License-Identifier: Apache-2.0
#include "train/stepper.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/status.h"
#include "device/profiler_range.h"
#include "engine/memory.h"
#include "engine/options.h"
#include "kernels/finish_gradients.h"
#include "train/health.h"

namespace tl {
namespace {

LossScaler MakeScaler(const PrecisionConfig& precision) {
  LossScaler scaler{.growth_factor = precision.growth_factor,
                    .backoff_factor = precision.backoff_factor,
                    .growth_interval = precision.growth_interval,
                    .hysteresis = precision.hysteresis,
                    .min_scale = precision.min_loss_scale};
  if (precision.compute != Precision::kFp16) return scaler;
  scaler.dynamic = precision.loss_scale == 0.0;
  scaler.scale = scaler.dynamic ? precision.initial_loss_scale : precision.loss_scale;
  scaler.hysteresis_left = precision.hysteresis;
  return scaler;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Stepper>> Stepper::Create(const Config& config, Mesh& mesh) {
  std::unique_ptr<Stepper> stepper(new Stepper(config, mesh));
  const ModelOptions options = MakeModelOptions(config, mesh.place().device.type);
  TL_ASSIGN_OR_RETURN(stepper->model_, DeclareModel(options, mesh));
  const OptimizerConfig& o = config.optimizer;
  TL_ASSIGN_OR_RETURN(stepper->optimizer_, MakeOptimizer(o.name, {.beta1 = o.beta1,
                                                                  .beta2 = o.beta2,
                                                                  .eps = o.eps,
                                                                  .average = stepper->averages()}));
  stepper->run_.scaler = MakeScaler(config.precision);
  stepper->run_.seed = config.train.seed;
  return stepper;
}

std::vector<MemoryRow> Stepper::MemoryPlan() const {
  const Model& m = *model_;
  const BucketRoles roles = optimizer_->Roles(m.params());
  const int64_t average = ShardedState::Bytes(m.params(), roles, kAverageRole);
  std::vector<MemoryRow> plan = {
      {"weights", m.weight_bytes()},
      {"gradients", m.gradient_bytes() + GradSync::WorkspaceBytes(m.params())},
      {"master weights and optimizer state",
       ShardedState::Bytes(m.params(), m.options().compute, roles) - average},
  };
  if (average > 0) plan.push_back({"average of weights", average});
  plan.push_back({"activations", m.activation_bytes()});
  plan.push_back({"inputs and tables", m.input_bytes()});
  if (m.options().device == DeviceType::kCpu) {
    plan.push_back(Batches());
    return plan;
  }
  plan.push_back({"scratch of kernels and cuBLASLt", m.scratch_bytes()});
  plan.push_back({"scalars", sizeof(StepScalars) + 2 * sizeof(float)});
  AddCudaCode(mesh_.place().device, &plan);
  AddTransport(mesh_, &plan);
  return plan;
}

MemoryRow Stepper::Batches() const {
  return {"batches of two steps", 2 * MicroBatches() * HostBatch::Bytes(model_->batch_shape())};
}

int64_t Stepper::CheckpointBytes(bool async) const {
  return Checkpointer::HostBytes(model_->params(), optimizer_->Roles(model_->params()), async,
                                 mesh_.place().device);
}

void Stepper::Allocate() {
  engine_ = std::make_unique<Engine>(*model_, mesh_, MicroBatches());
  const OptimizerConfig& o = config_.optimizer;
  state_ = std::make_unique<ShardedState>(
      model_->params(), mesh_,
      DecayRule{
          .weight_decay = o.weight_decay, .embeddings = o.decay_embeddings, .norms = o.decay_norms},
      engine_->weights(), optimizer_->Roles(model_->params()));
  const Device device = engine_->stream().device();
  scalars_memory_ = Buffer::Allocate(device, sizeof(StepScalars));
  host_scalars_ = Buffer::AllocateHost(device, sizeof(StepScalars));
  sums_memory_ = Buffer::Allocate(device, 2 * sizeof(float));
  reader_ = std::make_unique<ReadAhead>(
      MicroBatches(),
      [this](const DataSource& data, int64_t first, int64_t i, HostBatch* out) {
        return FillBatch(data, first, i, out);
      },
      [this](const HostBatch& batch) {
        const Objective& objective = model_->objective();
        std::vector<int64_t> counts;
        for (int head = 0, heads = objective.head_count(); head < heads; ++head)
          counts.push_back(objective.Count(batch, head));
        return counts;
      });
}

absl::StatusOr<WhichWeights> Stepper::StartFrom(const std::string& weights) {
  Initialize();
  return LoadWeights(
      weights, mesh_.world(), model_->params(),
      [&](ParamId id, const float* v) { state_->SetWeights(id, v); },
      WhichWeights::kAveragedIfThere, MissingWeights::kMayBeOptional);
}

absl::StatusOr<Stepper::Resumed> Stepper::Resume(const std::string& where) {
  Resumed resumed;
  TL_ASSIGN_OR_RETURN(
      resumed.path, LoadNewest(where, mesh_.world(), [&](CheckpointReader& reader) -> absl::Status {
        TL_RETURN_IF_ERROR(CheckNoOtherWeights(reader, model_->params()));
        TL_RETURN_IF_ERROR(ReadWeights(reader, model_->params(), [&](ParamId id, const float* v) {
          state_->SetWeights(id, v);
        }));
        TL_RETURN_IF_ERROR(ReadOptimizer(reader, model_->params(), *state_));
        // The settings of the scaler are those of this run; its state too, but where a scale that
        // has found its size goes on.
        const RunState& saved = reader.manifest().run;
        LossScaler scaler = MakeScaler(config_.precision);
        if (scaler.dynamic && saved.scaler.dynamic) {
          scaler.scale = saved.scaler.scale;
          scaler.clean_steps = saved.scaler.clean_steps;
          scaler.hysteresis_left = saved.scaler.hysteresis_left;
        }
        run_ = saved;
        run_.scaler = scaler;
        run_.seed = config_.train.seed;
        resumed.provenance = reader.manifest().provenance;
        resumed.config = reader.manifest().config;
        resumed.data = reader.manifest().data;
        resumed.had_average = reader.manifest().HasRole(kAverageRole);
        return absl::OkStatus();
      }));
  return resumed;
}

absl::StatusOr<std::unique_ptr<Checkpointer>> Stepper::OpenCheckpoints(CheckpointOptions options) {
  return Checkpointer::Open(std::move(options), mesh_, model_->params(), *state_);
}

absl::Status Stepper::Save(const std::string& folder) {
  TL_ASSIGN_OR_RETURN(const auto saves,
                      OpenCheckpoints({.folder = folder, .keep = config_.checkpoint.keep}));
  CheckWeights();
  TL_RETURN_IF_ERROR(saves->Start(engine_->stream(), run_));
  return saves->Wait();
}

void Stepper::CheckWeights() {
  Stream& stream = engine_->stream();
  const Tensor sums = Tensor::Contiguous(sums_memory_.data(), {2}, DType::kF32, stream.device());
  WeightSums(stream, mesh_, *state_, sums);
  float host[2];
  CopyBytes(stream, reinterpret_cast<std::byte*>(host), sums.data, sizeof(host));
  stream.Synchronize();
  weights_finite_ = host[1] == 0.0f;
  if (!weights_finite_ && run_.unhealthy_since == 0)
    run_.unhealthy_since = std::max<int64_t>(1, run_.step);
}

int64_t Stepper::MicroBatches() const {
  return config_.train.global_batch_size / (config_.train.micro_batch_size * mesh_.data_size());
}

Schedule Stepper::schedule() const { return MakeSchedule(config_.optimizer, config_.train.steps); }

absl::Status Stepper::FillBatch(const DataSource& data, int64_t first, int64_t i,
                                HostBatch* out) const {
  const TrainConfig& t = config_.train;
  first += (i * mesh_.data_size() + mesh_.data_rank()) * t.micro_batch_size;
  TL_RETURN_IF_ERROR(
      data.FillBatch(first, t.micro_batch_size, t.sequence_length, model_->lookahead(), out));
  out->first_sample = first;
  model_->objective().Prepare(BatchUse::kTraining, out);
  return absl::OkStatus();
}

void Stepper::SwapAverage() {
  if (!averages()) return;
  state_->SwapAverage(engine_->stream());
  GatherWeights(engine_->stream(), engine_->comm_stream(), mesh_, engine_->weights());
}

absl::StatusOr<EvalResult> Stepper::Evaluate(const DataSource& data, int64_t batches) {
  SwapAverage();
  absl::StatusOr<EvalResult> result = tl::Evaluate(*engine_, data, batches);
  SwapAverage();
  return result;
}

absl::StatusOr<StepResult> Stepper::Run(const DataSource& data) {
  const TrainConfig& t = config_.train;
  const int64_t micro_batches = MicroBatches();
  Stream& stream = engine_->stream();
  Communicator& data_group = mesh_.group(Axis::kData);
  const Objective& objective = model_->objective();
  const int heads = objective.head_count();
  const absl::StatusOr<const StepBatches*> read = reader_->Take(data, run_.samples);
  TL_RETURN_IF_ERROR(AgreeOnStatus(mesh_.world(), read.status()));
  reader_->Start(data, run_.samples + t.global_batch_size);
  const StepBatches& batches = **read;
  std::vector<int64_t> targets = batches.targets;
  data_group.AllReduce(stream, Tensor::Of(targets.data(), {heads}));

  StepResult result;
  result.lr = schedule().Rate(run_.step);
  result.loss_scale = run_.scaler.scale;
  result.targets = targets[0];
  auto* host = new (host_scalars_.data()) StepScalars;
  host->lr = static_cast<float>(result.lr);
  host->loss_scale = static_cast<float>(run_.scaler.scale);
  // Of each head its own count: masks shift with the offset.
  std::vector<double> weights(heads);
  for (int k = 0; k < heads; ++k) {
    weights[k] = objective.Weight(k, run_.step, t.steps);
    if (targets[k] > 0)
      host->grad_scale[k] =
          static_cast<float>(run_.scaler.scale * weights[k] / static_cast<double>(targets[k]));
  }
  host->adam_step = static_cast<int32_t>(run_.updates + 1);
  if (averages())
    host->ema_rate = static_cast<float>(AverageRate(config_.optimizer.ema, run_.updates));
  auto* scalars = reinterpret_cast<StepScalars*>(scalars_memory_.data());
  CopyBytes(stream, scalars_memory_.data(), host_scalars_.data(), sizeof(StepScalars));

  engine_->grad_sync().BeginStep(static_cast<int>(micro_batches));
  engine_->ClearHeadSums();
  for (const HostBatch& batch : batches.micro) engine_->ForwardBackward(batch, scalars, weights);
  engine_->grad_sync().Finish(stream);
  if (on_gradients) on_gradients(engine_->grads());
  // Before the gathers of weights: after them its sum, and so the end of the step, would wait for
  // them.
  engine_->StartReadingHeads();

  const ProfilerRange range("update");
  const Tensor sums = Tensor::Contiguous(sums_memory_.data(), {2}, DType::kF32, stream.device());
  GradientSums(stream, mesh_, *state_, engine_->grads(), sums);
  FinishGradients(
      stream,
      {.scalars = scalars, .sums = sums, .clip = static_cast<float>(config_.optimizer.clip)});
  optimizer_->Update(stream, *state_, engine_->grads(), engine_->weights(), scalars);
  GatherWeights(stream, engine_->comm_stream(), mesh_, engine_->weights());
  CopyBytes(stream, host_scalars_.data(), scalars_memory_.data(), sizeof(StepScalars));
  stream.Synchronize();
  reader_->Wait();
  result.heads = engine_->Heads();
  double loss = 0.0;
  result.counted = false;
  for (int k = 0; k < heads; ++k) {
    if (weights[k] <= 0.0 || targets[k] == 0) continue;
    loss += weights[k] * result.heads[k].loss;
    result.counted = true;
  }
  // Without a sign, which prints.
  result.loss = result.counted && !std::isnan(loss) ? static_cast<float>(loss)
                                                    : std::numeric_limits<float>::quiet_NaN();
  result.grad_norm = host->grad_norm;
  result.skipped = host->skip != 0;
  const LossScaler scaler = run_.scaler;
  run_.scaler.Update(result.skipped);
  ++run_.step;
  run_.samples += t.global_batch_size;
  JudgeStep(result, scaler, weights_finite_, &run_);
  ++(result.skipped ? run_.skipped : run_.updates);
  return result;
}

}  // namespace tl
