// SPDX-License-Identifier: Apache-2.0
// Small models for decoding tests, and what they write.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "base/philox.h"
#include "infer/continuous_batching.h"
#include "infer/drafter.h"
#include "infer/language_model.h"
#include "tests/reference/block.h"

namespace tl {

// Every feature at once: grouped heads, biases, norms of q and k, a window, a padded vocabulary.
// Weights are large enough for distributions with a clear favourite.
inline ModelConfig DecodingModel() {
  return {.layers = 4,
          .hidden = 48,
          .heads = 4,
          .kv_heads = 2,
          .head_dim = 32,
          .ffn = 80,
          .vocab = 67,
          .tie_embeddings = false,
          .qkv_bias = true,
          .qk_norm = true,
          .sliding_window = 20,
          .init_std = 0.25};
}

// Heads beside the main one: three that draft.
inline ObjectiveConfig MedusaHeads() {
  ObjectiveConfig objective;
  objective.name = "medusa";
  objective.Set("heads", 3);
  objective.Set("residual_layers", 2);
  return objective;
}
inline ObjectiveConfig IndependentHeadsConfig() {
  ObjectiveConfig objective;
  objective.name = "independent_heads";
  objective.Set("heads", 4);
  return objective;
}

// noise: how much of another model's weights is mixed in.
inline std::unique_ptr<LanguageModel> MakeModel(const ModelConfig& config, DType compute,
                                                const DecodeLimits& limits, Mesh& mesh,
                                                double noise = 0.0,
                                                const ObjectiveConfig& objective = {}) {
  ModelOptions options;
  options.model = config;
  options.objective = objective;
  options.compute = compute;
  auto model = LanguageModel::Create(options, limits, mesh).value();
  Engine& engine = model->engine();
  for (ParamId id = 0; id < engine.params().size(); ++id) {
    const Param& param = engine.params()[id];
    std::vector<float> values(static_cast<size_t>(param.local.elements()));
    std::vector<float> other(values.size());
    InitialValues(param, 11, values.data());
    InitialValues(param, 12, other.data());
    const bool normal = param.spec.init == InitKind::kNormal;
    for (size_t i = 0; i < values.size() && normal; ++i)
      values[i] += static_cast<float>(noise) * other[i];
    // The layers of Medusa's heads start as zeros, which would make all heads the main one.
    const bool zeros = param.spec.init == InitKind::kZeros && param.spec.parts[0].shape.rank() == 2;
    for (size_t i = 0; i < values.size() && zeros; ++i)
      values[i] = 0.1f * PhiloxNormal(static_cast<uint64_t>(id), i);
    SetValues(engine.weights().View(id), values.data());
  }
  return model;
}

// Weights by name, whole; each rank takes its part.
inline void SetWeights(LanguageModel& model, const reference::Params& params) {
  Engine& engine = model.engine();
  for (ParamId id = 0; id < engine.params().size(); ++id) {
    const Param& param = engine.params()[id];
    std::vector<float> values(static_cast<size_t>(param.local.elements()));
    for (const PartShard& shard : param.shards) {
      const reference::Doubles& whole = params.at(shard.part->name);
      ASSERT_EQ(static_cast<int64_t>(whole.size()), shard.part->shape.elements())
          << shard.part->name;
      const int64_t columns = shard.local.rank() == 2 ? shard.local[1] : 1;
      for (int64_t i = 0; i < shard.local.elements(); ++i) {
        const int64_t at = GlobalIndex(shard, i / columns, i % columns);
        if (at >= 0) values[static_cast<size_t>(shard.offset + i)] = static_cast<float>(whole[at]);
      }
    }
    SetValues(engine.weights().View(id), values.data());
  }
}

// Prompts of 1 to `count` tokens; every third repeats itself, for lookup to find something.
inline std::vector<std::vector<int32_t>> Prompts(int count, int64_t vocab) {
  std::vector<std::vector<int32_t>> prompts;
  for (int p = 0; p < count; ++p) {
    std::vector<int32_t>& prompt = prompts.emplace_back();
    for (int i = 0; i <= p; ++i)
      prompt.push_back(static_cast<int32_t>(
          Philox(5, static_cast<uint64_t>(p), static_cast<uint64_t>(p % 3 == 0 ? i % 4 : i)).w[0] %
          static_cast<uint64_t>(vocab)));
  }
  return prompts;
}

struct DecodeRun {
  std::vector<std::vector<int32_t>> texts;  // prompts included
  DecodeStats stats;
};

struct DecodeCase {
  DrafterOptions drafter = {};
  int64_t batch = 1;
  int64_t max_tokens = 40;
};

// Plain decoding and each drafter in turn, at every batch.
inline std::vector<DecodeCase> CasesOf(const std::vector<DrafterOptions>& drafters,
                                       const SamplingOptions& sampling,
                                       const std::vector<int64_t>& batches) {
  std::vector<DecodeCase> cases;
  for (const int64_t batch : batches) {
    cases.push_back({.drafter = {.kind = "none"}, .batch = batch});
    for (const DrafterOptions& drafter : drafters) cases.push_back({drafter, batch});
  }
  for (DecodeCase& c : cases) {
    c.drafter.sampling = sampling;
    c.drafter.seed = 3;
  }
  return cases;
}

// Every drafter, with the verification that keeps plain decoding's draws.
inline std::vector<DecodeCase> MatchCases(const SamplingOptions& sampling,
                                          const std::vector<int64_t>& batches) {
  return CasesOf({{.kind = "lookup", .drafts = 5},
                  {.kind = "lookup", .drafts = 12, .branches = 3},
                  {.kind = "draft-model", .drafts = 3},
                  {.kind = "early-exit", .drafts = 4, .exit_layer = 3},
                  {.kind = "early-exit", .drafts = 2}},
                 sampling, batches);
}

// Drafts by heads, in chains and trees, of a model with three of them.
inline std::vector<DecodeCase> HeadsCases(const SamplingOptions& sampling,
                                          const std::vector<int64_t>& batches) {
  const std::vector<RankPath> paths = {{2}, {0}, {0, 1}, {2, 0}, {7}, {0, 1, 4}, {0, 1, 0}, {1}};
  return CasesOf({{.kind = "heads", .drafts = 3},
                  {.kind = "heads", .drafts = 1},
                  {.kind = "heads", .tree = TreeShape::Parse("16x3x1").value()},
                  {.kind = "heads", .tree = TreeShape::FromPaths(paths).value()}},
                 sampling, batches);
}

inline DecodeRun Decode(LanguageModel& model, LanguageModel* draft_model, const DecodeCase& c,
                        const std::vector<std::vector<int32_t>>& prompts) {
  const auto drafter = MakeDrafter(c.drafter, model, draft_model).value();
  Decoder decoder(model, drafter.get(),
                  {.sampling = c.drafter.sampling,
                   .seed = c.drafter.seed,
                   .max_tokens = c.max_tokens,
                   .verification = c.drafter.verification});
  const ContinueOptions options{.max_tokens = c.max_tokens,
                                .decode = [](int32_t id) { return std::to_string(id) + " "; }};
  DecodeRun run;
  for (const Continuation& text : ContinueAll(prompts, c.batch, options, decoder))
    run.texts.push_back(text.sequence.tokens);
  run.stats = decoder.stats();
  return run;
}

}  // namespace tl
