// SPDX-License-Identifier: Apache-2.0
#include "infer/language_model.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "config/config.h"
#include "engine/memory.h"
#include "engine/options.h"
#include "engine/placement.h"
#include "kernels/cached_attention.h"

namespace tl {
namespace {

// Rows of one pass over a prompt: enough to keep the products busy, few enough to need no memory.
constexpr int64_t kPrefillRows = 128;

int64_t Places(const DecodeLimits& limits) { return limits.context + limits.drafts; }

// Rows whose logits one pass of decoding asks for.
int64_t LogitRows(const DecodeLimits& limits) { return limits.sequences * (1 + limits.drafts); }

}  // namespace

LanguageModel::LanguageModel(std::unique_ptr<Model> model, const DecodeLimits& limits, Mesh& mesh)
    : model_(std::move(model)),
      limits_(limits),
      engine_(*model_, mesh, /*passes=*/0),
      cache_(model_->plan(), model_->options().compute, engine_.device(), limits.sequences,
             Places(limits)),
      passes_(engine_, cache_, LogitRows(limits)) {}

absl::StatusOr<std::unique_ptr<LanguageModel>> LanguageModel::Create(ModelOptions options,
                                                                     const DecodeLimits& limits,
                                                                     Mesh& mesh) {
  TL_CHECK(limits.sequences > 0 && limits.context > 0 && limits.drafts < kTreeKeys);
  options.batch = 1;
  options.sequence_length =
      std::max(limits.sequences * (1 + limits.drafts), std::min(limits.context, kPrefillRows));
  options.positions = limits.context;
  options.sequence_parallel = false;
  options.blocks = {};
  options.segments = false;
  options.loss_chunk = 1;  // no loss is made
  options.device = mesh.place().device.type;
  options.purpose = Plan::Purpose::kInference;
  TL_ASSIGN_OR_RETURN(auto model, DeclareModel(options, mesh));
  std::vector<MemoryRow> memory = {
      {"weights", model->weight_bytes()},
      {"activations", model->activation_bytes()},
      {"inputs and tables", model->input_bytes()},
      {"logits", DecodePasses::Bytes(*model, LogitRows(limits))},
      {"scratch of kernels", DecodePasses::ScratchBytes(*model, Places(limits), LogitRows(limits))},
      {"K/V cache",
       KvCache::Bytes(model->plan(), options.compute, limits.sequences, Places(limits))}};
  AddCudaCode(mesh.place().device, &memory);
  TL_RETURN_IF_ERROR(CheckMemory(memory, mesh));
  return std::unique_ptr<LanguageModel>(new LanguageModel(std::move(model), limits, mesh));
}

absl::StatusOr<std::unique_ptr<LanguageModel>> LanguageModel::Load(const std::string& run_dir,
                                                                   const Config& config,
                                                                   const DecodeLimits& limits,
                                                                   WhichWeights which, Mesh& mesh) {
  TL_ASSIGN_OR_RETURN(auto model,
                      Create(MakeModelOptions(config, mesh.place().device.type), limits, mesh));
  Engine& engine = model->engine();
  const auto loaded = LoadWeights(
      CheckpointFolder(config, run_dir), mesh.world(), engine.params(),
      [&](ParamId id, const float* values) { engine.SetWeights(id, values); }, which);
  TL_RETURN_IF_ERROR(loaded.status());
  return model;
}

void LanguageModel::Prefill(absl::Span<const int32_t> tokens, int64_t position, int64_t sequence) {
  const auto count = static_cast<int64_t>(tokens.size());
  for (int64_t begin = 0; begin < count; begin += max_rows()) {
    DecodeBatch batch;
    for (int64_t i = begin; i < std::min(count, begin + max_rows()); ++i)
      batch.AddNext(tokens[static_cast<size_t>(i)], position + i, sequence);
    Run(batch, {}, nullptr);
  }
}

void LanguageModel::MoveRows(absl::Span<const int32_t> sequences, absl::Span<const int32_t> from,
                             absl::Span<const int32_t> to) {
  if (!sequences.empty()) passes_.MoveRows(sequences, from, to);
}

}  // namespace tl
