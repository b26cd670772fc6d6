// SPDX-License-Identifier: Apache-2.0
// The distribution of the first three tokens that a real model and a real drafter write, against
// the product of the model's own distributions.
#pragma once

#include <string>
#include <vector>

#include "tests/infer/chi_square.h"
#include "tests/infer/model_rig.h"

namespace tl {

inline ModelConfig EightTokenModel() {
  return {.layers = 2,
          .hidden = 32,
          .heads = 1,
          .head_dim = 32,
          .ffn = 32,
          .vocab = 8,
          .tie_embeddings = false,
          .init_std = 0.2};
}

struct ModelDistributionCase {
  std::string name;
  DrafterOptions drafter;
};

// Every drafter with every lossless rule it can have.
inline std::vector<ModelDistributionCase> ModelDistributionCases(const SamplingOptions& sampling) {
  std::vector<ModelDistributionCase> cases;
  const auto add = [&](std::string name, DrafterOptions options) {
    options.sampling = sampling;
    cases.push_back({std::move(name), std::move(options)});
  };
  const Verification rejection = Verification::kRejection;
  add("lookup", {.kind = "lookup", .drafts = 3});
  add("lookup, tree", {.kind = "lookup", .drafts = 6, .branches = 3});
  add("draft-model", {.kind = "draft-model", .drafts = 2, .verification = rejection});
  add("draft-model, match", {.kind = "draft-model", .drafts = 2});
  add("early-exit", {.kind = "early-exit", .drafts = 2, .verification = rejection});
  return cases;
}

// Of the drafter that needs a model with sequential modules.
inline ObjectiveConfig MtpObjective(int64_t depth) {
  ObjectiveConfig objective;
  objective.name = "sequential_mtp";
  objective.Set("depth", depth);
  return objective;
}
inline std::vector<ModelDistributionCase> MtpDistributionCases(const SamplingOptions& sampling) {
  const DrafterOptions mtp{.kind = "mtp", .drafts = 2, .sampling = sampling};
  DrafterOptions rejection = mtp;
  rejection.verification = Verification::kRejection;
  return {{"mtp", rejection}, {"mtp, match", mtp}};
}

// Of models with heads.
inline std::vector<ModelDistributionCase> HeadsDistributionCases(const SamplingOptions& sampling) {
  DrafterOptions match{.kind = "heads", .drafts = 2, .sampling = sampling};
  DrafterOptions rejection = match, tree = match;
  rejection.drafts = 3;
  rejection.verification = Verification::kRejection;
  tree.tree = TreeShape::Parse("3x2").value();
  return {{"heads", rejection}, {"heads, match", match}, {"heads, tree", tree}};
}

// What a test of every run draws. Sanitizers, many times slower, look for other faults.
#if defined(__SANITIZE_ADDRESS__)
inline constexpr int64_t kFewDraws = 1000;
#else
inline constexpr int64_t kFewDraws = 20000;
#endif

class ModelDistribution {
 public:
  explicit ModelDistribution(Mesh& mesh, const ObjectiveConfig& objective = {})
      : model_(MakeModel(EightTokenModel(), DType::kF32, kLimits, mesh, 0.0, objective)),
        draft_model_(MakeModel(EightTokenModel(), DType::kF32, kLimits, mesh, 0.3)) {}

  struct Result {
    double deviate = 0.0;
    double tau = 0.0;
  };
  Result Run(const DrafterOptions& drafter, int64_t draws) {
    constexpr int64_t kRound = 20000;  // sequences under way in memory
    std::vector<int64_t> counts(8 * 8 * 8);
    DecodeCase c{.drafter = drafter, .batch = kLimits.sequences, .max_tokens = 3};
    int64_t tokens = 0, passes = 0;
    for (int64_t done = 0; done < draws; done += kRound) {
      c.drafter.seed = static_cast<uint64_t>(1 + done);
      const std::vector<std::vector<int32_t>> prompts(
          static_cast<size_t>(std::min(kRound, draws - done)), kPrompt);
      const DecodeRun run = Decode(*model_, draft_model_.get(), c, prompts);
      for (const std::vector<int32_t>& text : run.texts) {
        const size_t n = kPrompt.size();
        ++counts[static_cast<size_t>((text[n] * 8 + text[n + 1]) * 8 + text[n + 2])];
      }
      tokens += run.stats.tokens;
      passes += run.stats.sequence_passes;
    }
    return {ChiSquareDeviate(counts, Exact(drafter.sampling)),
            static_cast<double>(tokens) / static_cast<double>(passes)};
  }

 private:
  // The distribution after the prompt and these tokens.
  std::vector<float> After(const std::vector<int32_t>& more, const SamplingOptions& sampling) {
    std::vector<int32_t> tokens = kPrompt;
    tokens.insert(tokens.end(), more.begin(), more.end());
    model_->Prefill(absl::MakeConstSpan(tokens).first(tokens.size() - 1), 0, 0);
    DecodeBatch row;
    row.AddNext(tokens.back(), static_cast<int64_t>(tokens.size()) - 1, 0);
    RowLogits logits;
    model_->Run(row, {.logits_end = 1}, &logits);
    const Distribution distribution = TokenDistribution(logits[0], sampling);
    std::vector<float> all;
    for (int32_t x = 0; x < 8; ++x) all.push_back(distribution[x]);
    return all;
  }
  std::vector<double> Exact(const SamplingOptions& sampling) {
    std::vector<double> distribution;
    const std::vector<float> first = After({}, sampling);
    for (int32_t x = 0; x < 8; ++x) {
      const std::vector<float> second = After({x}, sampling);
      for (int32_t y = 0; y < 8; ++y) {
        for (const float third : After({x, y}, sampling))
          distribution.push_back(static_cast<double>(first[static_cast<size_t>(x)]) *
                                 second[static_cast<size_t>(y)] * third);
      }
    }
    return distribution;
  }

  static constexpr DecodeLimits kLimits{.sequences = 64, .context = 16, .drafts = 9};
  // Of pairs that recur with different tokens after them, for lookup to find.
  const std::vector<int32_t> kPrompt = {1, 2, 3, 1, 2, 5, 1, 2, 6, 4, 1, 2};
  std::unique_ptr<LanguageModel> model_, draft_model_;
};

}  // namespace tl
