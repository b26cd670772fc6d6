// SPDX-License-Identifier: Apache-2.0
#include "infer/rank_statistics.h"

#include <algorithm>
#include <limits>

#include "base/check.h"
#include "base/progress_bar.h"
#include "base/status.h"
#include "infer/sampling.h"

namespace tl {
namespace {

double Ratio(int64_t a, int64_t b) { return static_cast<double>(a) / static_cast<double>(b); }

// What all heads say at the tokens of one window.
struct WindowHeads {
  std::vector<int32_t> greedy;  // of the main head
  // By head and token: its likeliest tokens, in order.
  std::vector<std::vector<std::vector<int32_t>>> likeliest;
};

WindowHeads RunWindow(LanguageModel& model, absl::Span<const int32_t> tokens, int heads,
                      int ranks) {
  WindowHeads all;
  all.likeliest.resize(static_cast<size_t>(heads));
  const auto count = static_cast<int64_t>(tokens.size());
  RowLogits logits;
  for (int64_t begin = 0; begin < count; begin += model.max_rows()) {
    DecodeBatch batch;
    for (int64_t i = begin; i < std::min(count, begin + model.max_rows()); ++i)
      batch.AddNext(tokens[static_cast<size_t>(i)], i, 0);
    model.Run(batch, {.logits_end = batch.rows(), .likeliest = 1}, &logits);
    for (int64_t i = 0; i < batch.rows(); ++i)
      all.greedy.push_back(LikeliestTokens(logits[i], 1)[0]);
    for (int head = 1; head <= heads; ++head) {
      model.RunHead(head, batch, 0, batch.rows(), LikeliestOf(ranks, model.vocab()), &logits);
      for (int64_t i = 0; i < batch.rows(); ++i)
        all.likeliest[static_cast<size_t>(head - 1)].push_back(LikeliestTokens(logits[i], ranks));
    }
  }
  return all;
}

}  // namespace

RankStatistics::RankStatistics(int heads, int ranks)
    : ranks_(ranks), by_head_(static_cast<size_t>(heads)) {
  for (Counts& counts : by_head_) counts.hits.resize(static_cast<size_t>(ranks));
}

void RankStatistics::Add(absl::Span<const int> ranks) {
  TL_CHECK_LE(ranks.size(), by_head_.size());
  ++places_;
  Counts* at = &root_;
  for (size_t k = 0; k < ranks.size(); ++k) {
    if (at->hits.empty()) {
      at->hits.resize(static_cast<size_t>(ranks_));
      at->after.resize(static_cast<size_t>(ranks_));
    }
    ++at->known;
    ++by_head_[k].known;
    if (ranks[k] >= ranks_) return;
    const auto rank = static_cast<size_t>(ranks[k]);
    ++at->hits[rank];
    ++by_head_[k].hits[rank];
    if (at->after[rank] == nullptr) at->after[rank] = std::make_unique<Counts>();
    at = at->after[rank].get();
  }
}

double RankStatistics::Chance(int head, int rank) const {
  const Counts& level = Level(head);
  return level.known == 0 ? 0.0 : Ratio(level.hits[static_cast<size_t>(rank)], level.known);
}

const RankStatistics::Counts* RankStatistics::After(absl::Span<const int> path) const {
  const Counts* at = &root_;
  for (const int rank : path) {
    if (at->after.empty() || at->after[static_cast<size_t>(rank)] == nullptr) return nullptr;
    at = at->after[static_cast<size_t>(rank)].get();
  }
  return at->known == 0 ? nullptr : at;
}

double RankStatistics::PathChance(const RankPath& path) const {
  const double prior = Chance(static_cast<int>(path.size()), path.back());
  const Counts* at = After(absl::MakeConstSpan(path).first(path.size() - 1));
  if (at == nullptr) return prior;
  const auto hits = static_cast<double>(at->hits[static_cast<size_t>(path.back())]);
  return (hits + kPriorWeight * prior) / (static_cast<double>(at->known) + kPriorWeight);
}

double RankStatistics::ChainAlpha(int head) const {
  const Counts* at = After(std::vector<int>(static_cast<size_t>(head - 1), 0));
  return at == nullptr ? std::numeric_limits<double>::quiet_NaN() : Ratio(at->hits[0], at->known);
}

absl::Status MeasureRanks(LanguageModel& model, const DataSource& text, int64_t tokens,
                          RankStatistics* statistics) {
  const int64_t length = model.limits().context, windows = text.SampleCount(length);
  if (windows < 1)
    return absl::InvalidArgumentError("there is no held-out text to measure acceptance on");
  const int64_t wanted = std::clamp<int64_t>((tokens + length - 1) / length, 1, windows);
  HostBatch batch;
  ProgressBar bar("measure acceptance", wanted, ProgressUnit::kCount);
  for (int64_t w = 0; w < wanted; ++w) {
    TL_RETURN_IF_ERROR(text.FillBatch(w * windows / wanted, 1, length, 1, &batch));
    const WindowHeads all =
        RunWindow(model, batch.inputs, statistics->heads(), statistics->ranks());
    const absl::Span<const int32_t> next = batch.targets(1);
    for (int64_t t = 0; t < length; ++t) {
      std::vector<int> ranks;
      // Head k drafts what follows token t + k, if that is what the model went on with.
      for (int64_t k = 1; k <= statistics->heads(); ++k) {
        const auto before = static_cast<size_t>(t + k - 1), at = static_cast<size_t>(t + k);
        if (t + k >= length || next[at] < 0 || next[before] != all.greedy[before]) break;
        const auto& order = all.likeliest[static_cast<size_t>(k - 1)][static_cast<size_t>(t)];
        const auto found = std::find(order.begin(), order.end(), all.greedy[at]);
        ranks.push_back(found == order.end() ? statistics->ranks()
                                             : static_cast<int>(found - order.begin()));
        if (found == order.end()) break;
      }
      statistics->Add(ranks);
    }
    bar.Add();
  }
  return absl::OkStatus();
}

}  // namespace tl
