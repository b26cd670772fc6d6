// SPDX-License-Identifier: Apache-2.0
// Twin of the whole model in plain fp64 loops: embedding, blocks, final norm, unembedding and the
// loss, forward and backward, over the micro-batches of a step. Proved by finite differences in
// tests/model/gradcheck_test.cc.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "nn/batch.h"
#include "tests/reference/block.h"
#include "tests/reference/cross_entropy.h"
#include "tests/reference/embedding.h"
#include "tests/reference/rope_table.h"

namespace tl::reference {

struct ModelOptions {
  ModelConfig model;
  bool segments = false;  // packed documents are kept apart
  double z_loss = 0.0;
  Storage store = {};
  DropoutConfig dropout = {};
  double loss_scale = 1.0;  // moves gradients into a narrow type's range; not in what is returned
};

struct ModelResult {
  double loss = 0.0;  // mean over the unmasked targets of all micro-batches
  Params grads;
};

namespace internal {

struct ModelPass {
  ModelPass(const ModelOptions& options, const Params& params, const HostBatch& batch)
      : params(params),
        context{.model = options.model,
                .batch = batch.count,
                .length = batch.sequence_length,
                .positions = batch.positions,
                .segments = options.segments ? batch.segments : std::vector<int32_t>{},
                .table = RopeTable(options.model, static_cast<size_t>(batch.sequence_length)),
                .store = options.store,
                .dropout = options.dropout,
                .first_sample = batch.first_sample},
        tokens(batch.inputs),
        targets(batch.targets(1).begin(), batch.targets(1).end()),
        z_loss(options.z_loss),
        unembedding(options.model.tie_embeddings ? "embedding.weight" : "lm_head.weight") {
    for (int64_t i = 0; i < options.model.layers; ++i)
      blocks.emplace_back("layers." + std::to_string(i));
  }

  // The sum of the tokens' losses.
  double Forward() {
    const auto hidden = static_cast<size_t>(context.model.hidden);
    Doubles h = Embedding(params.at("embedding.weight"), tokens, hidden);
    h = context.Drop("embedding.dropout", h);
    for (BlockTwin& block : blocks) h = block.Forward(context, params, h);
    y = norm.Forward(context, params, h);
    logits = Linear(y, params.at(unembedding), hidden);
    double sum = 0.0;
    for (const double loss : CrossEntropy(logits, targets, Vocab(), z_loss).loss) sum += loss;
    return sum;
  }

  // Of scale * the sum of losses.
  void Backward(double scale, Params& grads) const {
    const auto hidden = static_cast<size_t>(context.model.hidden);
    const Doubles& w = params.at(unembedding);
    const Doubles d_logits =
        context.store(CrossEntropyGrad(logits, targets, Vocab(), scale, z_loss));
    Doubles d_y(y.size()), d_w(w.size());
    LinearBackward(&d_y, d_w, d_logits, y, w, hidden);
    AddTo(grads, unembedding, d_w);
    Doubles d = context.store(norm.Backward(params, grads, context.store(std::move(d_y))));
    for (auto block = blocks.rbegin(); block != blocks.rend(); ++block)
      d = block->Backward(context, params, grads, d);
    d = context.Drop("embedding.dropout", d);
    Doubles d_table(params.at("embedding.weight").size());
    EmbeddingBackward(d_table, d, tokens, hidden);
    AddTo(grads, "embedding.weight", d_table);
  }

  size_t Vocab() const { return static_cast<size_t>(context.model.vocab); }

  const Params& params;
  Context context;
  std::vector<int32_t> tokens, targets;
  double z_loss;
  std::string unembedding;
  std::vector<BlockTwin> blocks;
  NormTwin norm{"final_norm.weight"};
  Doubles y, logits;
};

inline double Targets(absl::Span<const HostBatch> batches) {
  int64_t targets = 0;
  for (const HostBatch& batch : batches) targets += batch.TargetCount(1);
  return static_cast<double>(targets);
}

}  // namespace internal

inline double ModelLoss(const ModelOptions& options, const Params& params,
                        absl::Span<const HostBatch> batches) {
  double sum = 0.0;
  for (const HostBatch& batch : batches)
    sum += internal::ModelPass(options, params, batch).Forward();
  return sum / internal::Targets(batches);
}

inline ModelResult RunModel(const ModelOptions& options, const Params& params,
                            absl::Span<const HostBatch> batches) {
  ModelResult result;
  const double targets = internal::Targets(batches);
  for (const HostBatch& batch : batches) {
    internal::ModelPass pass(options, params, batch);
    result.loss += pass.Forward() / targets;
    pass.Backward(options.loss_scale / targets, result.grads);
  }
  for (auto& [name, grad] : result.grads) {
    for (double& g : grad) g /= options.loss_scale;
  }
  return result;
}

}  // namespace tl::reference
