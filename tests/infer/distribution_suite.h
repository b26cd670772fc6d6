// SPDX-License-Identifier: Apache-2.0
// Is speculation lossless in distribution? A made-up model over 8 tokens, whose logits are a table
// by the last two tokens, and a drafter with another table; the joint distribution of the first
// three tokens that come out of repeated passes against the exact product of the model's
// distributions.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "base/philox.h"
#include "infer/verify.h"
#include "tests/infer/chi_square.h"

namespace tl {

constexpr int kVocab = 8;
using TokenPair = std::pair<int, int>;  // the last two tokens

// The distributions of model and drafter after every two tokens. The drafter's logits are the
// model's with noise, so that drafts are taken about half the time.
class Tables {
 public:
  explicit Tables(const SamplingOptions& options) {
    std::vector<float> model(kVocab), draft(kVocab);
    for (uint64_t pair = 0; pair < kVocab * kVocab; ++pair) {
      for (uint64_t i = 0; i < kVocab; ++i) {
        model[i] = 1.2f * PhiloxNormal(1, pair * kVocab + i);
        draft[i] = model[i] + 0.8f * PhiloxNormal(2, pair * kVocab + i);
      }
      model_.push_back(TokenDistribution({model}, options));
      draft_.push_back(TokenDistribution({draft}, options));
    }
  }
  const Distribution& Model(TokenPair last) const { return model_[Index(last)]; }
  const Distribution& Draft(TokenPair last) const { return draft_[Index(last)]; }

 private:
  static size_t Index(TokenPair last) {
    return static_cast<size_t>(last.first * kVocab + last.second);
  }
  std::vector<Distribution> model_, draft_;
};

enum class DraftShape : uint8_t { kNone, kLikeliestChain, kSampledChain, kLikeliestTree };

// The two tokens before what follows a node; before the root they are a, b.
inline TokenPair Before(const DraftTree& tree, int node, TokenPair root) {
  if (node < 0) return root;
  const int parent = tree.parents[static_cast<size_t>(node)];
  return {Before(tree, parent, root).second, tree.tokens[static_cast<size_t>(node)]};
}

inline std::vector<int32_t> Likeliest(const Distribution& distribution, int count) {
  std::vector<int32_t> ids;
  for (int n = 0; n < count; ++n) {
    int32_t best = -1;
    for (int32_t i = 0; i < kVocab; ++i) {
      const bool used = std::find(ids.begin(), ids.end(), i) != ids.end();
      if (!used && (best < 0 || distribution[i] > distribution[best])) best = i;
    }
    ids.push_back(best);
  }
  return ids;
}

using UniformOf = std::function<double(int, Randomness)>;

inline DraftTree MakeDraft(DraftShape shape, TokenPair root, const Tables& tables,
                           const UniformOf& uniform) {
  DraftTree tree;
  const auto distribution = [&](int node) { return tables.Draft(Before(tree, node, root)); };
  switch (shape) {
    case DraftShape::kNone:
      break;
    case DraftShape::kLikeliestChain:
      for (int i = 0; i < 3; ++i) tree.Add(Likeliest(distribution(i - 1), 1)[0], i - 1);
      break;
    case DraftShape::kSampledChain:
      for (int i = 0; i < 3; ++i) {
        tree.distributions.push_back(distribution(i - 1));
        tree.Add(DrawToken(tree.distributions.back(), uniform(i, Randomness::kDraft)), i - 1);
      }
      break;
    case DraftShape::kLikeliestTree:
      for (const int32_t x : Likeliest(distribution(-1), 3)) tree.Add(x, -1);
      for (int parent = 0; parent < 2; ++parent) {
        for (const int32_t x : Likeliest(distribution(parent), 2)) tree.Add(x, parent);
      }
      tree.Add(Likeliest(distribution(3), 1)[0], 3);
      break;
  }
  return tree;
}

using Verifier =
    std::function<Verdict(const DraftTree&, const std::vector<Distribution>&, const UniformOf&)>;

struct DistributionCase {
  std::string name;
  DraftShape shape;
  Verifier verify;
  SamplingOptions sampling;
};

constexpr TokenPair kPrompt = {3, 5};

struct DistributionOutcome {
  double deviate = 0.0;
  double accepted = 0.0;  // drafts taken per pass, in the first pass
};

inline DistributionOutcome RunDistributionCase(const DistributionCase& c, int64_t draws) {
  const Tables tables(c.sampling);
  std::vector<int64_t> counts(kVocab * kVocab * kVocab);
  int64_t accepted = 0;
  for (int64_t draw = 0; draw < draws; ++draw) {
    std::vector<int32_t> text = {kPrompt.first, kPrompt.second};
    while (text.size() < 5) {
      const auto size = static_cast<int64_t>(text.size());
      const UniformOf uniform = [&](int depth, Randomness use) {
        return UniformFor(7, draw, size + depth, use);
      };
      const TokenPair root = {text[text.size() - 2], text.back()};
      const DraftTree tree = MakeDraft(c.shape, root, tables, uniform);
      std::vector<Distribution> distributions;
      for (int node = -1; node < tree.size(); ++node)
        distributions.push_back(tables.Model(Before(tree, node, root)));
      const Verdict verdict = c.verify(tree, distributions, uniform);
      if (size == 2) accepted += static_cast<int64_t>(verdict.path.size());
      for (const int node : verdict.path) text.push_back(tree.tokens[static_cast<size_t>(node)]);
      text.push_back(verdict.next);
    }
    ++counts[static_cast<size_t>((text[2] * kVocab + text[3]) * kVocab + text[4])];
  }
  std::vector<double> exact(counts.size());
  for (int x = 0; x < kVocab; ++x) {
    for (int y = 0; y < kVocab; ++y) {
      for (int z = 0; z < kVocab; ++z)
        exact[static_cast<size_t>((x * kVocab + y) * kVocab + z)] =
            static_cast<double>(tables.Model(kPrompt)[x]) * tables.Model({kPrompt.second, x})[y] *
            tables.Model({x, y})[z];
    }
  }
  return {ChiSquareDeviate(counts, exact),
          static_cast<double>(accepted) / static_cast<double>(draws)};
}

inline Verifier ByRule(Verification rule) {
  return [rule](const DraftTree& tree, const std::vector<Distribution>& distributions,
                const UniformOf& uniform) { return Verify(rule, tree, distributions, uniform); };
}

inline std::vector<DistributionCase> LosslessCases() {
  std::vector<DistributionCase> cases;
  const SamplingOptions samplings[] = {{.temperature = 1.0},
                                       {.temperature = 0.7},
                                       {.temperature = 1.0, .top_p = 0.8},
                                       {.temperature = 0.7, .top_k = 5, .top_p = 0.9}};
  for (const SamplingOptions& s : samplings) {
    const std::string at = " at T " + std::to_string(s.temperature) + " top-p " +
                           std::to_string(s.top_p) + " top-k " + std::to_string(s.top_k);
    const Verifier match = ByRule(Verification::kMatch);
    cases.push_back({"plain" + at, DraftShape::kNone, match, s});
    cases.push_back({"match, chain" + at, DraftShape::kLikeliestChain, match, s});
    cases.push_back({"match, sampled chain" + at, DraftShape::kSampledChain, match, s});
    cases.push_back({"match, tree" + at, DraftShape::kLikeliestTree, match, s});
    cases.push_back({"rejection, sampled chain" + at, DraftShape::kSampledChain,
                     ByRule(Verification::kRejection), s});
  }
  return cases;
}

// Rules that look right and are not.
inline std::vector<DistributionCase> LossyCases() {
  const SamplingOptions s{.temperature = 1.0};
  // After a refusal, a token from p rather than from what p has more than q.
  const Verifier no_residual = [](const DraftTree& tree,
                                  const std::vector<Distribution>& distributions,
                                  const UniformOf& uniform) {
    Verdict verdict = Verify(Verification::kRejection, tree, distributions, uniform);
    const size_t at = verdict.path.size();
    verdict.next = DrawToken(distributions[at], uniform(static_cast<int>(at), Randomness::kToken));
    return verdict;
  };
  // A draw of its own for every child, instead of one for the node.
  const Verifier per_row = [](const DraftTree& tree, const std::vector<Distribution>& distributions,
                              const UniformOf& uniform) {
    Verdict verdict;
    int node = -1;
    for (int depth = 0;; ++depth) {
      const Distribution& p = distributions[static_cast<size_t>(1 + node)];
      int taken = -1;
      for (int i = 0; i < tree.size() && taken < 0; ++i) {
        if (tree.parents[static_cast<size_t>(i)] != node) continue;
        // A number of its own for each row.
        const double u =
            std::fmod(uniform(depth, Randomness::kToken) + 0.61803398875 * (i + 1), 1.0);
        if (DrawToken(p, u) == tree.tokens[static_cast<size_t>(i)]) taken = i;
      }
      if (taken < 0) {
        verdict.next = DrawToken(p, uniform(depth, Randomness::kAccept));
        return verdict;
      }
      verdict.path.push_back(node = taken);
    }
  };
  return {{"rejection without a residual", DraftShape::kSampledChain, no_residual, s},
          {"a draw per row", DraftShape::kLikeliestTree, per_row, s},
          {"typical acceptance", DraftShape::kLikeliestTree, ByRule(Verification::kTypical), s}};
}

}  // namespace tl
