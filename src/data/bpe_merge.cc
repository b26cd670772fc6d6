#include "data/bpe_merge.h"

#include <algorithm>
#include <limits>
#include <queue>

namespace tl::internal {
namespace {

constexpr size_t kShort = 32;

}  // namespace

void BpeMerger::AddMerge(int32_t left, int32_t right, int32_t merged) {
  const uint64_t key = uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
  merges_[key] = {next_rank_++, merged};
}

void BpeMerger::Encode(absl::string_view word, std::vector<int32_t>* ids) const {
  word.size() <= kShort ? EncodeShort(word, ids) : EncodeLong(word, ids);
}

// Quadratic, and faster than a queue for the few bytes that words mostly have.
void BpeMerger::EncodeShort(absl::string_view word, std::vector<int32_t>* ids) const {
  constexpr int32_t kNone = std::numeric_limits<int32_t>::max();
  int32_t symbols[kShort], ranks[kShort], merged[kShort];  // of the pair at i and i + 1
  size_t n = word.size();
  for (size_t i = 0; i < n; ++i) symbols[i] = byte_ids_[static_cast<unsigned char>(word[i])];
  const auto look_up = [&](size_t i) {
    const Merge* m = Find(symbols[i], symbols[i + 1]);
    ranks[i] = m == nullptr ? kNone : m->rank;
    merged[i] = m == nullptr ? 0 : m->id;
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

// A queue of the pairs that may merge, n log n: a word can be a whole document of Chinese.
void BpeMerger::EncodeLong(absl::string_view word, std::vector<int32_t>* ids) const {
  struct Symbol {
    int32_t id;
    int64_t previous, next;  // -1: none
    bool dead = false;
  };
  struct Pair {
    int32_t rank;
    int64_t at;
    int32_t merged;
    bool operator<(const Pair& o) const { return rank != o.rank ? rank > o.rank : at > o.at; }
  };
  const auto n = static_cast<int64_t>(word.size());
  std::vector<Symbol> symbols(word.size());
  std::priority_queue<Pair> queue;
  const auto push = [&](int64_t at) {
    if (at < 0 || symbols[at].next < 0) return;
    const Merge* m = Find(symbols[at].id, symbols[symbols[at].next].id);
    if (m != nullptr) queue.push({m->rank, at, m->id});
  };
  for (int64_t i = 0; i < n; ++i) {
    symbols[i] = {byte_ids_[static_cast<unsigned char>(word[i])], i - 1, i + 1 < n ? i + 1 : -1};
  }
  for (int64_t i = 0; i + 1 < n; ++i) push(i);
  while (!queue.empty()) {
    const Pair pair = queue.top();
    queue.pop();
    Symbol& left = symbols[pair.at];
    if (left.dead || left.next < 0) continue;
    Symbol& right = symbols[left.next];
    const Merge* m = Find(left.id, right.id);
    if (m == nullptr || m->id != pair.merged) continue;  // one of the two has merged meanwhile
    left.id = pair.merged;
    left.next = right.next;
    right.dead = true;
    if (left.next >= 0) symbols[left.next].previous = pair.at;
    push(left.previous);
    push(pair.at);
  }
  for (int64_t i = 0; i >= 0; i = symbols[i].next) ids->push_back(symbols[i].id);
}

}  // namespace tl::internal
