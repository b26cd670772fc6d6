#include "engine/engine.h"

#include <algorithm>
#include <cstring>

#include "base/status.h"
#include "engine/memory.h"

namespace tl {
namespace {

constexpr int64_t kI32 = sizeof(int32_t);
// tokens, targets, positions, segments, losses
constexpr int kInputs = 5;

Geometry MakeGeometry(const EngineOptions& options, const Mesh& mesh) {
  return {.batch = options.batch,
          .sequence_length = options.sequence_length,
          .compute = options.compute,
          .tensor_size = mesh.tensor_size(),
          .sequence_parallel = options.sequence_parallel};
}

ParamSpec EmbeddingSpec(const ModelConfig& model) {
  return VocabularySpec("embedding.weight", model.vocab, model.hidden, model.init_std);
}

}  // namespace

Engine::Engine(const EngineOptions& options, Mesh& mesh)
    : options_(options),
      mesh_(mesh),
      geometry_(MakeGeometry(options, mesh)),
      params_(mesh.data_size(), mesh.tensor_size(), mesh.tensor_rank()),
      plan_(params_, options.purpose),
      trunk_(options.model, geometry_, options.recompute, options.device),
      stem_(EmbeddingSpec(options.model), geometry_),
      stream_(Stream::On(options.device)),
      comm_stream_(Stream::On(options.device, Stream::Mode::kAsync)) {}

absl::StatusOr<std::unique_ptr<Engine>> Engine::Create(const EngineOptions& options, Mesh& mesh) {
  TL_RETURN_IF_ERROR(CheckSize(options, mesh));
  std::unique_ptr<Engine> engine(new Engine(options, mesh));
  const ModelConfig& model = options.model;
  const ParamSpec unembedding = model.tie_embeddings ? EmbeddingSpec(model)
                                                     : VocabularySpec("lm_head.weight", model.vocab,
                                                                      model.hidden, model.init_std);
  TL_ASSIGN_OR_RETURN(engine->objective_,
                      MakeObjective(options.objective, {.geometry = engine->geometry_,
                                                        .vocab = model.vocab,
                                                        .hidden = model.hidden,
                                                        .unembedding = unembedding,
                                                        .norm_eps = model.norm_eps,
                                                        .z_loss = options.z_loss,
                                                        .loss_chunk = options.loss_chunk}));
  Plan& plan = engine->plan_;
  engine->stem_.Declare(plan);
  engine->trunk_.Declare(plan);
  engine->objective_->Declare(plan);
  plan.Finish();
  engine->params_.Layout(options.bucket_elements);
  return engine;
}

int64_t Engine::weight_bytes() const {
  return params_.elements() * static_cast<int64_t>(SizeOf(options_.compute));
}

int64_t Engine::gradient_bytes() const {
  const bool training = options_.purpose == Plan::Purpose::kTraining;
  return training ? params_.elements() * static_cast<int64_t>(sizeof(float)) : 0;
}

int64_t Engine::input_bytes() const { return kInputs * rows() * kI32 + trunk_.table_bytes(); }

void Engine::Allocate() {
  const Device device = stream_.device();
  weight_memory_ = Buffer::Allocate(device, weight_bytes());
  weights_.table = &params_;
  weights_.flat =
      Tensor::Contiguous(weight_memory_.data(), {params_.elements()}, options_.compute, device);
  weights_.ready.resize(params_.buckets().size());
  arena_ = Buffer::Allocate(device, activation_bytes());
  inputs_ = Buffer::Allocate(device, kInputs * rows() * kI32);
  if (device.type != DeviceType::kCpu)
    host_losses_ = Buffer::AllocateHost(device, rows() * sizeof(float));
  if (options_.purpose != Plan::Purpose::kTraining) return;
  grad_memory_ = Buffer::Allocate(device, gradient_bytes());
  ZeroBytes(stream_, grad_memory_.data(), grad_memory_.size());
  grads_ = Tensor::Contiguous(grad_memory_.data(), {params_.elements()}, DType::kF32, device);
  grad_sync_ = std::make_unique<GradSync>(params_, mesh_, comm_stream_, grads_);
}

Pass Engine::LoadPass(const HostBatch& batch) {
  TL_CHECK_EQ(batch.count * batch.sequence_length, rows());
  const auto place = [&](int i, Shape shape, DType dtype) {
    return Tensor::Contiguous(inputs_.data() + i * rows() * kI32, shape, dtype, stream_.device());
  };
  const auto load = [&](int i, Shape shape, const int32_t* from) {
    const Tensor to = place(i, shape, DType::kI32);
    CopyBytes(stream_, to.data, reinterpret_cast<const std::byte*>(from), rows() * kI32);
    return to;
  };
  Pass pass;
  pass.batch = batch.count;
  pass.sequence_length = batch.sequence_length;
  pass.tokens = load(0, {rows()}, batch.inputs.data());
  pass.targets = load(1, {rows()}, batch.targets(1).data());
  pass.positions = load(2, {rows()}, batch.positions.data());
  if (options_.segments)
    pass.segments = load(3, {batch.count, batch.sequence_length}, batch.segments.data());
  pass.token_losses = place(4, {rows()}, DType::kF32);
  return pass;
}

void Engine::SumLosses(double* loss_sum) {
  const std::byte* from = inputs_.data() + 4 * rows() * kI32;
  if (host_losses_.data() != nullptr) {
    CopyBytes(stream_, host_losses_.data(), from, rows() * sizeof(float));
    from = host_losses_.data();
  }
  stream_.Synchronize();
  const auto* losses = reinterpret_cast<const float*>(from);
  double sum = 0.0;
  for (int64_t i = 0; i < rows(); ++i) sum += losses[i];
  *loss_sum += sum;
}

void Engine::ForwardBackward(const HostBatch& batch, const StepScalars* scalars, double* loss_sum) {
  Step step(stream_, comm_stream_, mesh_, plan_, arena_.data(), weights_, grad_sync_.get(),
            scalars);
  step.Begin(LoadPass(batch));
  stem_.Forward(step, step.Slot(trunk_.stem_slot()));
  const Residual out = trunk_.Forward(step);
  const Tensor d_stream = step.Slot(trunk_.d_stream_slot());
  objective_->Run(step, out, d_stream);
  SumLosses(loss_sum);
  trunk_.Backward(step);
  stem_.Backward(step, d_stream);
}

void Engine::Evaluate(const HostBatch& batch, double* loss_sum) {
  Step step(stream_, comm_stream_, mesh_, plan_, arena_.data(), weights_, nullptr, nullptr);
  step.Begin(LoadPass(batch));
  stem_.Forward(step, step.Slot(trunk_.stem_slot()));
  objective_->Run(step, trunk_.Forward(step), {});
  SumLosses(loss_sum);
}

void Engine::NextLogits(absl::Span<const int32_t> tokens, int64_t row, std::vector<float>* logits) {
  HostBatch batch;
  batch.count = geometry_.batch;
  batch.sequence_length = geometry_.sequence_length;
  batch.lookahead = 1;
  batch.inputs.assign(rows(), 0);
  std::copy(tokens.begin(), tokens.end(), batch.inputs.begin());
  batch.targets_storage.assign(rows(), -1);
  batch.segments.assign(rows(), 0);
  for (int64_t i = 0; i < rows(); ++i)
    batch.positions.push_back(static_cast<int32_t>(i % geometry_.sequence_length));
  Step step(stream_, comm_stream_, mesh_, plan_, arena_.data(), weights_, nullptr, nullptr);
  step.Begin(LoadPass(batch));
  stem_.Forward(step, step.Slot(trunk_.stem_slot()));
  const int64_t local = objective_->local_vocab(), ranks = geometry_.tensor_size;
  const Buffer memory = Buffer::Allocate(options_.device, (ranks + 1) * local * sizeof(float));
  const Tensor both =
      Tensor::Contiguous(memory.data(), {(ranks + 1) * local}, DType::kF32, options_.device);
  const Tensor part = both.Slice(0, 0, local), all = both.Slice(0, local, (ranks + 1) * local);
  objective_->Logits(step, trunk_.Forward(step), row, part.Reshape({1, local}));
  step.tensor_group().AllGather(stream_, all, part);
  logits->resize(options_.model.vocab);
  CopyBytes(stream_, reinterpret_cast<std::byte*>(logits->data()), all.data,
            logits->size() * sizeof(float));
  stream_.Synchronize();
}

}  // namespace tl
