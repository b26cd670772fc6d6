// SPDX-License-Identifier: Apache-2.0
// What decoding passes cost on this machine.
#pragma once

#include <vector>

#include "infer/language_model.h"

namespace tl {

struct PassCosts {
  // Seconds of a pass of the model over n + 1 tokens of one sequence, with greedy choices; never
  // less than over fewer.
  std::vector<double> verify;
  // Seconds of drafting with the first n heads; [0] is 0.
  std::vector<double> draft;
};

// The least of several measurements, taken in turns, of passes over 1 to `tokens` tokens, which the
// model must have places for, behind `prefix` tokens that slot 0 of the cache holds. All ranks get
// rank 0's. heads: of the model, which draft from its state alone. Collective.
PassCosts MeasurePassCosts(LanguageModel& model, int heads, int64_t prefix, int64_t tokens);

// Tokens per second of passes over the first n nodes of a tree that is grown node by node, with
// values[i] the probability that node i is taken and depths[i] its depth, from 1:
//   (1 + sum_{i < n} values[i]) / (verify(n + 1) + draft(deepest of them)).
double PredictedSpeed(const std::vector<double>& values, const std::vector<int>& depths,
                      const PassCosts& costs, int nodes);
// The number of its first nodes, 0 included, at which that is greatest.
int BestBudget(const std::vector<double>& values, const std::vector<int>& depths,
               const PassCosts& costs);

}  // namespace tl
