// SPDX-License-Identifier: Apache-2.0
// How often the token that the model itself goes on with stands at which rank among a head's: what
// trees of drafts are grown from.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "data/source.h"
#include "infer/language_model.h"
#include "infer/tree_shape.h"

namespace tl {

class RankStatistics {
 public:
  // ranks: so many of a head's likeliest tokens are told apart.
  RankStatistics(int heads, int ranks);

  // One place of a text. ranks[k - 1]: where in the order of head k the token stands that the model
  // goes on with k places after the next, for as many heads as that is known of; `ranks` or more:
  // beyond those that are told apart.
  void Add(absl::Span<const int> ranks);

  int64_t places() const { return places_; }
  int heads() const { return static_cast<int>(by_head_.size()); }
  int ranks() const { return ranks_; }
  // Places at which decoding would have come to head k = 1, 2, ... along some path.
  int64_t Reached(int head) const { return Level(head).known; }
  // Conditional acceptance: of them, the fraction at which its token of this rank was the model's.
  double Chance(int head, int rank) const;
  // P(the path's last draft is right | those before it are): counted after that very path, and
  // where it was seen seldom drawn towards Chance(head, rank) as if that had been seen
  // kPriorWeight times.
  double PathChance(const RankPath& path) const;
  // The same without a prior along the likeliest tokens: NaN where never reached. See kAcceptance.
  double ChainAlpha(int head) const;

  static constexpr double kPriorWeight = 20.0;

 private:
  struct Counts {
    int64_t known = 0;
    std::vector<int64_t> hits;  // by rank
    std::vector<std::unique_ptr<Counts>> after;
  };
  const Counts& Level(int head) const { return by_head_[static_cast<size_t>(head - 1)]; }
  const Counts* After(absl::Span<const int> path) const;  // null: never seen

  int ranks_;
  int64_t places_ = 0;
  std::vector<Counts> by_head_;
  Counts root_;
};

// Over windows of a text, evenly spread, with so many tokens altogether: the model's greedy tokens
// and all heads' orders at every token of a window. A head is asked where the text itself goes the
// way of the model's greedy tokens up to the place it drafts, so that what the model goes on with
// is known. Uses slot 0 of the cache, which afterwards holds a window. Collective.
absl::Status MeasureRanks(LanguageModel& model, const DataSource& text, int64_t tokens,
                          RankStatistics* statistics);

}  // namespace tl
