// SPDX-License-Identifier: Apache-2.0
#include "engine/model.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "engine/input_loader.h"
#include "kernels/head_metrics.h"
#include "kernels/matmul.h"
#include "model/rope_table.h"
#include "objective/descriptor.h"

namespace tl {
namespace {

Geometry MakeGeometry(const ModelOptions& options, const Grid& grid) {
  return {.batch = options.batch,
          .sequence_length = options.sequence_length,
          .compute = options.compute,
          .tensor_size = grid.tensor_size,
          .sequence_parallel = options.sequence_parallel,
          .device = options.device};
}

ParamSpec EmbeddingSpec(const ModelConfig& model) {
  return VocabularySpec("embedding.weight", model.vocab, model.hidden, model.init_std);
}

ParamSpec UnembeddingSpec(const ModelConfig& model) {
  if (model.tie_embeddings) return EmbeddingSpec(model);
  return VocabularySpec("lm_head.weight", model.vocab, model.hidden, model.init_std);
}

}  // namespace

Model::Model(const ModelOptions& options, const Grid& grid)
    : options_(options),
      geometry_(MakeGeometry(options, grid)),
      params_(grid.data_size, grid.tensor_size, grid.tensor_rank),
      plan_(params_, options.purpose),
      trunk_(options.model, TrunkLayers(options.objective, options.model.layers), geometry_,
             options.blocks) {}

absl::StatusOr<std::unique_ptr<Model>> Model::Declare(const ModelOptions& options, const Grid& grid,
                                                      const Check& check) {
  const ModelConfig& config = options.model;
  std::unique_ptr<Model> model(new Model(options, grid));
  TL_ASSIGN_OR_RETURN(
      model->objective_,
      options.make_objective(options.objective, {.geometry = model->geometry_,
                                                 .vocab = config.vocab,
                                                 .shape = config.shape,
                                                 .patch = config.patch,
                                                 .classes = config.classes,
                                                 .hidden = config.hidden,
                                                 .embedding = EmbeddingSpec(config),
                                                 .dropout = options.blocks.dropout,
                                                 .unembedding = UnembeddingSpec(config),
                                                 .norm_eps = config.norm_eps,
                                                 .z_loss = options.z_loss,
                                                 .loss_chunk = options.loss_chunk,
                                                 .block = [options](const std::string& name) {
                                                   return MakeBlockConfig(options.model, name,
                                                                          options.blocks);
                                                 }}));
  model->stem_ = model->objective_->MakeStem();
  Plan& plan = model->plan_;
  {
    const auto group = plan.As({.frozen = model->objective_->freezes_trunk()});
    model->stem_->Declare(plan);
    model->trunk_.Declare(plan, model->objective_->taps());
  }
  model->objective_->Declare(plan);
  if (check) TL_RETURN_IF_ERROR(check(model->Least()));
  if (const double parameters = model->params_.parameters(); parameters > 0x1p56) {
    return absl::InvalidArgumentError(
        absl::StrCat("[model] has ", parameters, " parameters: expected at most 2^56"));
  }
  plan.Finish();
  // On GPUs weights and their gradients, which are wider, start where products of equal shapes are
  // equal to cuBLASLt.
  const bool cpu = options.device == DeviceType::kCpu;
  model->params_.Layout(
      options.bucket_elements,
      cpu ? 16 : kMatmulAlignment / static_cast<int64_t>(SizeOf(options.compute)));
  return model;
}

LeastMemory Model::Least() const {
  const bool training = options_.purpose == Plan::Purpose::kTraining;
  const auto size = static_cast<double>(SizeOf(options_.compute));
  return {.weights = params_.shard_elements(false) * size,
          .gradients = training ? params_.shard_elements(true) * sizeof(float) : 0.0,
          .activations = plan_.least_bytes()};
}

int64_t Model::weight_bytes() const {
  return params_.elements() * static_cast<int64_t>(SizeOf(options_.compute));
}

int64_t Model::gradient_bytes() const {
  const bool training = options_.purpose == Plan::Purpose::kTraining;
  return training ? params_.trainable_elements() * static_cast<int64_t>(sizeof(float)) : 0;
}

int64_t Model::positions() const {
  return options_.positions > 0 ? options_.positions : options_.sequence_length;
}

int64_t Model::table_bytes() const { return RopeTable::Bytes(options_.model, positions()); }

BatchShape Model::batch_shape() const {
  return {.count = options_.batch,
          .sequence_length = options_.sequence_length,
          .lookahead = objective_->lookahead(),
          .row_values = objective_->row_values()};
}

int64_t Model::pass_bytes() const { return InputLoader::Bytes(batch_shape(), options_.compute); }

int64_t Model::sum_bytes() const {
  return objective_->head_count() * static_cast<int64_t>(sizeof(HeadSums));
}

int64_t Model::scratch_bytes() const {
  return options_.device == DeviceType::kCpu ? 0 : plan_.scratch_bytes();
}

absl::StatusOr<std::vector<ParamPart>> ModelTensors(const ModelConfig& model,
                                                    const ObjectiveConfig& objective) {
  TL_ASSIGN_OR_RETURN(
      const auto declared,
      Model::Declare({.model = model, .objective = objective, .purpose = Plan::Purpose::kInference},
                     Grid{}));
  std::vector<ParamPart> tensors;
  for (ParamId id = 0; id < declared->params().size(); ++id) {
    const std::vector<ParamPart>& parts = declared->params()[id].spec.parts;
    tensors.insert(tensors.end(), parts.begin(), parts.end());
  }
  return tensors;
}

}  // namespace tl
