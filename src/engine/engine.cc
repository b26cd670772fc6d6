#include "engine/engine.h"

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "device/profiler_range.h"
#include "engine/memory.h"
#include "kernels/attention.h"
#include "kernels/head_metrics.h"
#include "kernels/matmul.h"

namespace tl {
namespace {

constexpr int64_t kI32 = sizeof(int32_t);

Geometry MakeGeometry(const EngineOptions& options, const Mesh& mesh) {
  return {.batch = options.batch,
          .sequence_length = options.sequence_length,
          .compute = options.compute,
          .tensor_size = mesh.tensor_size(),
          .sequence_parallel = options.sequence_parallel,
          .device = options.device.type};
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
      trunk_(options.model, TrunkLayers(options.objective, options.model.layers), geometry_,
             options.blocks, options.device, options.positions),
      stem_(EmbeddingSpec(options.model), geometry_),
      stem_dropout_("embedding.dropout", options.blocks.dropout, geometry_),
      stream_(Stream::On(options.device)),
      comm_stream_(Stream::On(options.device, Stream::Mode::kAsync)) {}

absl::StatusOr<std::unique_ptr<Engine>> Engine::Create(const EngineOptions& options, Mesh& mesh) {
  TL_RETURN_IF_ERROR(CheckSize(options, mesh));
  return Declare(options, mesh);
}

absl::StatusOr<std::vector<ParamPart>> Engine::Tensors(const ModelConfig& model,
                                                       const ObjectiveConfig& objective) {
  // Sizes that one can count with; any config.json can get here.
  const auto hidden = static_cast<double>(model.hidden);
  const double heads = 2.0 * static_cast<double>(model.heads + model.kv_heads_or_default());
  const double per_layer = heads * static_cast<double>(model.head_dim_or_default()) +
                           3.0 * static_cast<double>(model.ffn);
  const double parameters = hidden * (2.0 * static_cast<double>(model.vocab) +
                                      static_cast<double>(model.layers) * per_layer);
  if (parameters > 0x1p56) {
    return absl::InvalidArgumentError(
        absl::StrCat("[model] has ", parameters, " parameters: expected at most 2^56"));
  }
  const auto world = MakeSelfCommunicator();
  TL_ASSIGN_OR_RETURN(Mesh mesh, Mesh::Create(*world, 1));
  TL_ASSIGN_OR_RETURN(const auto engine, Declare({.model = model,
                                                  .objective = objective,
                                                  .sequence_length = 1,
                                                  .purpose = Plan::Purpose::kInference},
                                                 mesh));
  std::vector<ParamPart> tensors;
  for (ParamId id = 0; id < engine->params_.size(); ++id) {
    const std::vector<ParamPart>& parts = engine->params_[id].spec.parts;
    tensors.insert(tensors.end(), parts.begin(), parts.end());
  }
  return tensors;
}

absl::StatusOr<std::unique_ptr<Engine>> Engine::Declare(const EngineOptions& options, Mesh& mesh) {
  std::unique_ptr<Engine> engine(new Engine(options, mesh));
  const ModelConfig& model = options.model;
  const ParamSpec unembedding = model.tie_embeddings ? EmbeddingSpec(model)
                                                     : VocabularySpec("lm_head.weight", model.vocab,
                                                                      model.hidden, model.init_std);
  TL_ASSIGN_OR_RETURN(engine->objective_,
                      MakeObjective(options.objective,
                                    {.geometry = engine->geometry_,
                                     .vocab = model.vocab,
                                     .hidden = model.hidden,
                                     .embedding = EmbeddingSpec(model),
                                     .unembedding = unembedding,
                                     .norm_eps = model.norm_eps,
                                     .z_loss = options.z_loss,
                                     .loss_chunk = options.loss_chunk,
                                     .block = [options](const std::string& name) {
                                       return MakeBlockConfig(options.model, name, options.blocks);
                                     }}));
  Plan& plan = engine->plan_;
  {
    const auto group = plan.As({.frozen = options.objective.freeze_trunk});
    engine->stem_.Declare(plan);
    engine->stem_dropout_.Declare(plan);
    engine->trunk_.Declare(plan);
  }
  engine->objective_->Declare(plan);
  plan.Finish();
  // On GPUs weights and their gradients, which are wider, start where products of equal shapes are
  // equal to cuBLASLt.
  const bool cpu = options.device.type == DeviceType::kCpu;
  engine->params_.Layout(
      options.bucket_elements,
      cpu ? 16 : kMatmulAlignment / static_cast<int64_t>(SizeOf(options.compute)));
  return engine;
}

int64_t Engine::weight_bytes() const {
  return params_.elements() * static_cast<int64_t>(SizeOf(options_.compute));
}

int64_t Engine::gradient_bytes() const {
  const bool training = options_.purpose == Plan::Purpose::kTraining;
  return training ? params_.trainable_elements() * static_cast<int64_t>(sizeof(float)) : 0;
}

// Of one per token: tokens, positions, segments, targets for each offset and inner targets.
int64_t Engine::input_count() const { return 4 + lookahead(); }

int64_t Engine::input_bytes() const {
  return input_count() * rows() * kI32 + trunk_.table_bytes() +
         lookahead() * static_cast<int64_t>(sizeof(HeadSums));
}

int64_t Engine::scratch_bytes() const {
  if (options_.device.type == DeviceType::kCpu) return 0;
  const ModelConfig& m = options_.model;
  // The widest product with a bias; counting tokens; sums over rows in parts.
  const int64_t matmul = kMatmulWorkspace + 3 * m.heads * m.head_dim_or_default() * 4 + 256;
  const int64_t embedding = 4 * (2 * m.vocab + 3 * rows() + 1);
  const int64_t norm = 4 * 1056 * m.hidden;
  const int64_t tensor = geometry_.tensor_size;
  const int64_t attention =
      AttentionBackwardScratch({.batch = options_.batch,
                                .tq = options_.sequence_length,
                                .tk = options_.sequence_length,
                                .q_heads = m.heads / tensor,
                                .k_heads = std::max<int64_t>(1, m.kv_heads_or_default() / tensor),
                                .d = m.head_dim_or_default()});
  return std::max({matmul, embedding, norm, attention});
}

void Engine::Allocate() {
  const Device device = stream_.device();
  weight_memory_ = Buffer::Allocate(device, weight_bytes());
  weights_.table = &params_;
  weights_.flat =
      Tensor::Contiguous(weight_memory_.data(), {params_.elements()}, options_.compute, device);
  weights_.ready.resize(params_.buckets().size());
  arena_ = Buffer::Allocate(device, activation_bytes());
  inputs_ = Buffer::Allocate(device, input_count() * rows() * kI32);
  if (device.type != DeviceType::kCpu) {
    host_inputs_ = Buffer::AllocateHost(device, options_.passes * input_count() * rows() * kI32);
    host_inputs_read_.resize(options_.passes);
    stream_.Scratch(scratch_bytes());
  }
  const int64_t heads = lookahead();
  sums_memory_ = Buffer::Allocate(device, heads * sizeof(HeadSums));
  head_sums_ = Tensor::Contiguous(sums_memory_.data(), {heads, kHeadSums}, DType::kF64, device);
  ClearHeadSums();
  if (options_.purpose != Plan::Purpose::kTraining) return;
  grad_memory_ = Buffer::Allocate(device, gradient_bytes());
  ZeroBytes(stream_, grad_memory_.data(), grad_memory_.size());
  grads_ =
      Tensor::Contiguous(grad_memory_.data(), {params_.trainable_elements()}, DType::kF32, device);
  grad_sync_ = std::make_unique<GradSync>(params_, mesh_, comm_stream_, grads_);
}

Pass Engine::LoadPass(const HostBatch& batch) {
  TL_CHECK_EQ(batch.count * batch.sequence_length, rows());
  TL_CHECK_LE(lookahead(), batch.lookahead);
  std::byte* slot = nullptr;
  if (host_inputs_.data() != nullptr) {
    slot = host_inputs_.data() + next_slot_ * input_count() * rows() * kI32;
    Stream::Cpu().Wait(host_inputs_read_[next_slot_]);  // long past, within a step
  }
  const auto load = [&](int64_t i, Shape shape, const int32_t* values) {
    const int64_t at = i * rows() * kI32;
    const Tensor to = Tensor::Contiguous(inputs_.data() + at, shape, DType::kI32, stream_.device());
    const auto* from = reinterpret_cast<const std::byte*>(values);
    if (slot != nullptr) {
      std::memcpy(slot + at, from, to.bytes());
      from = slot + at;
    }
    CopyBytes(stream_, to.data, from, to.bytes());
    return to;
  };
  Pass pass;
  pass.batch = batch.count;
  pass.sequence_length = batch.sequence_length;
  pass.tokens = load(0, {rows()}, batch.inputs.data());
  pass.positions = load(1, {rows()}, batch.positions.data());
  if (options_.segments)
    pass.segments = load(2, {batch.count, batch.sequence_length}, batch.segments.data());
  pass.targets = load(3, {lookahead(), rows()}, batch.targets(1).data());
  if (lookahead() > 1) {
    inner_targets_.assign(batch.targets(1).begin(), batch.targets(1).end());
    for (int64_t i = 0; i < rows(); ++i) {
      if (batch.positions[i] == 0) inner_targets_[i] = -1;
    }
    pass.inner_targets = load(3 + lookahead(), {rows()}, inner_targets_.data());
  }
  pass.head_sums = head_sums_;
  if (slot != nullptr) {
    host_inputs_read_[next_slot_] = Event::Record(stream_);
    next_slot_ = (next_slot_ + 1) % host_inputs_read_.size();
  }
  return pass;
}

void Engine::MaskTargets(HostBatch* batch) const {
  for (int head = 0; head < lookahead(); ++head) {
    if (objective_->Distills(head)) batch->MaskBeyondInputs(head + 1);
  }
}

void Engine::ForwardBackward(const HostBatch& batch, const StepScalars* scalars,
                             absl::Span<const double> head_weights) {
  Step step(stream_, comm_stream_, mesh_, plan_, arena_.data(), weights_, grad_sync_.get(),
            scalars);
  Pass pass = LoadPass(batch);
  pass.head_weights = head_weights;
  pass.first_sample = batch.first_sample;
  step.Begin(pass);
  const Tensor stem = step.Slot(trunk_.stem_slot());
  stem_.Forward(step, stem);
  stem_dropout_.Forward(step, stem);
  const Taps taps = {.out = trunk_.Forward(step), .rope = trunk_.rope()};
  if (options_.objective.freeze_trunk) {
    objective_->Run(step, taps, {}, /*training=*/true);
    return;
  }
  const Tensor d_stream = step.Slot(trunk_.d_stream_slot());
  {
    const ProfilerRange range("objective");
    objective_->Run(step, taps, d_stream, /*training=*/true);
  }
  trunk_.Backward(step);
  stem_.Backward(step, stem_dropout_.Backward(step, d_stream, d_stream));
}

void Engine::Evaluate(const HostBatch& batch) {
  Step step(stream_, comm_stream_, mesh_, plan_, arena_.data(), weights_, nullptr, nullptr);
  step.Begin(LoadPass(batch));
  stem_.Forward(step, step.Slot(trunk_.stem_slot()));
  objective_->Run(step, {.out = trunk_.Forward(step), .rope = trunk_.rope()}, {},
                  /*training=*/false);
}

}  // namespace tl
