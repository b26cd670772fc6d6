// SPDX-License-Identifier: Apache-2.0
#include "data/bpe_merge.h"

#include <algorithm>
#include <limits>
#include <queue>

namespace tl::internal {
namespace {

constexpr size_t kFew = 32;

}  // namespace

void BpeMerger::AddMerge(int32_t left, int32_t right, int32_t merged) {
  const uint64_t key = uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
  rules_[key] = {next_rank_++, merged};
}

void BpeMerger::Merge(absl::Span<int32_t> symbols, std::vector<int32_t>* ids) const {
  symbols.size() <= kFew ? MergeFew(symbols, ids) : MergeMany(symbols, ids);
}

// Quadratic, and faster than a queue for the few symbols that words mostly have.
void BpeMerger::MergeFew(absl::Span<int32_t> word, std::vector<int32_t>* ids) const {
  constexpr int32_t kNone = std::numeric_limits<int32_t>::max();
  int32_t* symbols = word.data();
  int32_t ranks[kFew], merged[kFew];  // of the pair at i and i + 1
  size_t n = word.size();
  const auto look_up = [&](size_t i) {
    const Rule* rule = Find(symbols[i], symbols[i + 1]);
    ranks[i] = rule == nullptr ? kNone : rule->rank;
    merged[i] = rule == nullptr ? 0 : rule->id;
  };
  for (size_t i = 0; i + 1 < n; ++i) look_up(i);
  while (n > 1) {
    const size_t best = std::min_element(ranks, ranks + n - 1) - ranks;
    if (ranks[best] == kNone) break;
    symbols[best] = merged[best];
    --n;
    std::copy(symbols + best + 2, symbols + n + 1, symbols + best + 1);
    if (best + 1 < n) {
      std::copy(ranks + best + 2, ranks + n, ranks + best + 1);
      std::copy(merged + best + 2, merged + n, merged + best + 1);
      look_up(best);
    }
    if (best > 0) look_up(best - 1);
  }
  ids->insert(ids->end(), symbols, symbols + n);
}

// A queue of the pairs that may merge, n log n: a word can be a whole document.
void BpeMerger::MergeMany(absl::Span<int32_t> word, std::vector<int32_t>* ids) const {
  constexpr int32_t kDead = -1;  // merged into the symbol before it
  struct Links {
    int32_t previous, next;  // -1: none
  };
  struct Pair {
    int32_t rank, at, merged;
    bool operator<(const Pair& o) const { return rank != o.rank ? rank > o.rank : at > o.at; }
  };
  const auto n = static_cast<int32_t>(word.size());
  std::vector<Links> links(word.size());
  for (int32_t i = 0; i < n; ++i) links[i] = {i - 1, i + 1 < n ? i + 1 : -1};
  std::vector<Pair> first;
  const auto pair_at = [&](int32_t at) -> Pair {
    const Rule* rule = Find(word[at], word[links[at].next]);
    return rule == nullptr ? Pair{-1, at, 0} : Pair{rule->rank, at, rule->id};
  };
  for (int32_t i = 0; i + 1 < n; ++i) {
    if (const Pair pair = pair_at(i); pair.rank >= 0) first.push_back(pair);
  }
  std::priority_queue<Pair> queue(std::less<Pair>(), std::move(first));
  const auto push = [&](int32_t at) {
    if (at < 0 || links[at].next < 0) return;
    if (const Pair pair = pair_at(at); pair.rank >= 0) queue.push(pair);
  };
  while (!queue.empty()) {
    const Pair pair = queue.top();
    queue.pop();
    if (word[pair.at] == kDead || links[pair.at].next < 0) continue;
    const int32_t right = links[pair.at].next;
    const Rule* rule = Find(word[pair.at], word[right]);
    if (rule == nullptr || rule->id != pair.merged)
      continue;  // one of the two has merged meanwhile
    word[pair.at] = pair.merged;
    word[right] = kDead;
    links[pair.at].next = links[right].next;
    if (links[right].next >= 0) links[links[right].next].previous = pair.at;
    push(links[pair.at].previous);
    push(pair.at);
  }
  for (int32_t i = 0; i >= 0; i = links[i].next) ids->push_back(word[i]);
}

}  // namespace tl::internal
