// SPDX-License-Identifier: Apache-2.0
#include "infer/pass_cost.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <numeric>

#include "base/check.h"
#include "base/progress_bar.h"

namespace tl {
namespace {

constexpr int kRounds = 3;
// In a row: the first pass after one over other numbers of tokens finds colder caches.
constexpr int kRepeats = 4;
// Tokens that heads read before they draft: what a pass gave, about.
constexpr int64_t kTokensRead = 3;

double Seconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void ShareRankZero(LanguageModel& model, std::vector<double>* values) {
  Stream stream = Stream::Cpu();
  const auto count = static_cast<int64_t>(values->size());
  model.engine().mesh().world().Broadcast(stream, Tensor::Of(values->data(), {count}), 0);
}

}  // namespace

PassCosts MeasurePassCosts(LanguageModel& model, int heads, int64_t prefix, int64_t tokens) {
  TL_CHECK(tokens <= model.max_rows() && tokens <= model.limits().drafts + 1);
  RowLogits logits;
  const auto rows_at = [&](int64_t count) {
    DecodeBatch batch;
    for (int64_t i = 0; i < count; ++i) {
      AncestorBits bits{};
      for (int64_t j = 0; j <= i; ++j) SetAncestor(bits, j);
      const int64_t position = std::min(prefix + i, model.limits().context - 1);
      batch.Add(0, position, 0, prefix + i, prefix, bits);
    }
    return batch;
  };
  const auto verify = [&](const DecodeBatch& batch) {
    model.Run(batch, {.logits_end = batch.rows(), .likeliest = 1}, &logits);
  };
  const auto draft = [&](const DecodeBatch& batch, int count) {
    for (int head = 1; head <= count; ++head)
      model.RunHead(head, batch, batch.rows() - 1, batch.rows(), 1, &logits);
  };
  PassCosts costs{.verify = std::vector<double>(static_cast<size_t>(tokens), 1e30),
                  .draft = std::vector<double>(static_cast<size_t>(heads) + 1, 1e30)};
  costs.draft[0] = 0.0;
  const auto keep_least = [](double& least, double now) { least = std::min(least, now); };
  ProgressBar bar("measure passes", kRounds * tokens, ProgressUnit::kCount);
  for (int round = 0; round < kRounds; ++round) {
    for (int64_t n = 1; n <= tokens; ++n) {
      const DecodeBatch batch = rows_at(n);
      for (int repeat = 0; repeat < kRepeats; ++repeat)
        keep_least(costs.verify[static_cast<size_t>(n - 1)], Seconds([&] { verify(batch); }));
      bar.Add();
    }
    const DecodeBatch read = rows_at(std::min(kTokensRead, tokens));
    for (int count = 1; count <= heads; ++count)
      keep_least(costs.draft[static_cast<size_t>(count)], Seconds([&] { draft(read, count); }));
  }
  // What more tokens take is enough for fewer.
  for (size_t n = costs.verify.size() - 1; n-- > 0;)
    keep_least(costs.verify[n], costs.verify[n + 1]);
  ShareRankZero(model, &costs.verify);
  ShareRankZero(model, &costs.draft);
  return costs;
}

double PredictedSpeed(const std::vector<double>& values, const std::vector<int>& depths,
                      const PassCosts& costs, int nodes) {
  const double tokens = std::accumulate(values.begin(), values.begin() + nodes, 1.0);
  const int deepest = nodes == 0 ? 0 : *std::max_element(depths.begin(), depths.begin() + nodes);
  return tokens /
         (costs.verify[static_cast<size_t>(nodes)] + costs.draft[static_cast<size_t>(deepest)]);
}

int BestBudget(const std::vector<double>& values, const std::vector<int>& depths,
               const PassCosts& costs) {
  const int most = static_cast<int>(std::min(values.size(), costs.verify.size() - 1));
  int best = 0;
  for (int nodes = 1; nodes <= most; ++nodes) {
    if (PredictedSpeed(values, depths, costs, nodes) > PredictedSpeed(values, depths, costs, best))
      best = nodes;
  }
  return best;
}

}  // namespace tl
