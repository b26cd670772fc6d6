// SPDX-License-Identifier: Apache-2.0
#include "nn/embedding.h"

#include "kernels/embedding.h"

namespace tl {

ParamSpec VocabularySpec(const std::string& name, int64_t vocab, int64_t hidden, double init_std) {
  return {.name = name,
          .parts = {{.name = name, .shape = {vocab, hidden}, .split_axis = 0}},
          .init_std = init_std,
          .kind = ParamKind::kEmbedding};
}

void TokenEmbedding::Declare(Plan& plan) {
  const auto& g = geometry_;
  weight_ = plan.Param(spec_, use_);
  const Shape whole = spec_.parts[0].shape;
  const int64_t local = (whole[0] + g.tensor_size - 1) / g.tensor_size;
  begin_ = plan.params().tensor_rank() * local;
  if (plan.Trains(weight_, use_))
    plan.Scratch(Plan::When::kBackward,
                 [rows = g.rows(), local] { return EmbeddingBackwardScratch(rows, local); });
  if (!g.split_rows()) return;
  const auto scope = plan.Enter();
  y_full_.Declare(plan, g, "embedding", whole[1], Life::kForward);
  dy_full_.Declare(plan, g, "d_embedding", whole[1], Life::kBackward);
}

void TokenEmbedding::Forward(Step& step, Tensor y, Tensor tokens) {
  if (!tokens) tokens = step.inputs().tokens;
  Embedding(step.stream(), {.y = y_full_.Partial(step, y),
                            .tokens = tokens,
                            .table = step.Weight(weight_),
                            .begin = begin_});
  y_full_.Reduce(step, y);
}

void TokenEmbedding::Backward(Step& step, Tensor dy, Tensor tokens) {
  if (!step.learns()) return;
  if (!tokens) tokens = step.inputs().tokens;
  const Tensor dy_full = dy_full_.Gather(step, dy);
  const auto [grad, accumulate] = step.Grad(weight_);
  if (!accumulate) ZeroBytes(step.stream(), grad.data, grad.bytes());
  EmbeddingBackward(step.stream(),
                    {.d_table = grad, .tokens = tokens, .dy = dy_full, .begin = begin_});
  step.GradDone(weight_);
}

}  // namespace tl
