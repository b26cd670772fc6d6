// SPDX-License-Identifier: Apache-2.0
#include "infer/sampling.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "base/check.h"
#include "base/philox.h"
#include "kernels/top_k.h"

namespace tl {

float Distribution::operator[](int64_t token) const {
  if (ids.empty()) return p[static_cast<size_t>(token)];
  const auto at = std::lower_bound(ids.begin(), ids.end(), token);
  return at != ids.end() && *at == token ? p[static_cast<size_t>(at - ids.begin())] : 0.0f;
}

int64_t LikeliestOf(int64_t count, int64_t vocab) {
  const int64_t few = std::min(count, vocab);
  return few <= kMostTop ? few : 0;
}

int64_t LikeliestFor(const SamplingOptions& options, int64_t vocab) {
  if (options.temperature == 0.0) return 1;
  return 0 < options.top_k && options.top_k < vocab ? LikeliestOf(options.top_k, vocab) : 0;
}

std::vector<int32_t> LikeliestTokens(const LogitsRow& logits, int64_t count) {
  count = std::min<int64_t>(count, static_cast<int64_t>(logits.values.size()));
  if (!logits.ids.empty()) return {logits.ids.begin(), logits.ids.begin() + count};
  std::vector<int32_t> ids(logits.values.size());
  std::iota(ids.begin(), ids.end(), 0);
  const auto likelier = [&](int32_t a, int32_t b) {
    const float x = logits.values[static_cast<size_t>(a)];
    const float y = logits.values[static_cast<size_t>(b)];
    return x != y ? x > y : a < b;
  };
  std::partial_sort(ids.begin(), ids.begin() + count, ids.end(), likelier);
  ids.resize(static_cast<size_t>(count));
  return ids;
}

Distribution TokenDistribution(const LogitsRow& logits, const SamplingOptions& options) {
  const absl::Span<const float> values = logits.values;
  TL_CHECK(!values.empty());
  const bool every = logits.ids.empty();
  const auto likeliest = static_cast<size_t>(
      every ? std::max_element(values.begin(), values.end()) - values.begin() : 0);
  if (options.temperature == 0.0)
    return {.p = {1.0f}, .ids = {every ? static_cast<int32_t>(likeliest) : logits.ids[0]}};
  const double most = values[likeliest];
  const auto count = static_cast<int64_t>(values.size());
  const bool cut = options.top_k > 0 && options.top_k < count, by_rank = options.top_p < 1.0;
  std::vector<int32_t> ids;  // kept, the likeliest first; none: all tokens in order
  if (!every || cut || by_rank) ids = LikeliestTokens(logits, cut ? options.top_k : count);
  std::vector<double> weights(ids.empty() ? values.size() : ids.size());
  double sum = 0.0;
  for (size_t i = 0; i < weights.size(); ++i) {
    const size_t at = every && !ids.empty() ? static_cast<size_t>(ids[i]) : i;
    weights[i] = std::exp((static_cast<double>(values[at]) - most) / options.temperature);
    sum += weights[i];
  }
  if (by_rank) {
    double reached = 0.0;
    size_t kept = 0;
    while (kept < ids.size() && (kept == 0 || reached < options.top_p * sum))
      reached += weights[kept++];
    ids.resize(kept);
    sum = reached;
  }
  if (ids.empty() || static_cast<int64_t>(ids.size()) > kMostTop) {
    std::vector<float> p(values.size());
    for (size_t i = 0; i < (ids.empty() ? weights.size() : ids.size()); ++i)
      p[ids.empty() ? i : static_cast<size_t>(ids[i])] = static_cast<float>(weights[i] / sum);
    return {.p = std::move(p)};
  }
  std::vector<size_t> order(ids.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return ids[a] < ids[b]; });
  Distribution kept;
  for (const size_t i : order) {
    kept.ids.push_back(ids[i]);
    kept.p.push_back(static_cast<float>(weights[i] / sum));
  }
  return kept;
}

int32_t DrawToken(const Distribution& distribution, double uniform) {
  double left = uniform * std::accumulate(distribution.p.begin(), distribution.p.end(), 0.0);
  int32_t last = 0;
  for (size_t i = 0; i < distribution.size(); ++i) {
    if (distribution.p[i] <= 0.0f) continue;
    last = distribution.id(i);
    left -= distribution.p[i];
    if (left < 0.0) break;
  }
  return last;
}

Distribution ResidualDistribution(const Distribution& p, const Distribution& q) {
  Distribution left = p;
  double sum = 0.0;
  for (size_t i = 0; i < p.size(); ++i) sum += left.p[i] = std::max(p.p[i] - q[p.id(i)], 0.0f);
  if (sum <= 0.0) return p;
  for (float& x : left.p) x = static_cast<float>(x / sum);
  return left;
}

double UniformFor(uint64_t seed, int64_t sequence, int64_t token_index, Randomness use) {
  const auto counter = static_cast<uint64_t>(sequence) << 8 | static_cast<uint64_t>(use);
  const PhiloxWords words = Philox(seed, static_cast<uint64_t>(token_index), counter);
  // 53 bits, the centre of a cell: a distribution's small probabilities are not lost.
  const uint64_t bits = (uint64_t{words.w[0]} << 32 | words.w[1]) >> 12;
  return (static_cast<double>(bits) + 0.5) * 0x1p-52;
}

}  // namespace tl
