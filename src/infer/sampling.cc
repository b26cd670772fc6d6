#include "infer/sampling.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "base/philox.h"

namespace tl {

std::vector<int32_t> LikeliestTokens(absl::Span<const float> logits, int64_t count) {
  std::vector<int32_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  const auto likelier = [&](int32_t a, int32_t b) {
    return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
  };
  count = std::min<int64_t>(count, static_cast<int64_t>(ids.size()));
  std::partial_sort(ids.begin(), ids.begin() + count, ids.end(), likelier);
  ids.resize(static_cast<size_t>(count));
  return ids;
}

std::vector<float> TokenLaw(absl::Span<const float> logits, const SamplingOptions& options) {
  TL_CHECK(!logits.empty());
  std::vector<float> law(logits.size(), 0.0f);
  const auto likeliest = std::max_element(logits.begin(), logits.end()) - logits.begin();
  if (options.temperature == 0.0) {
    law[static_cast<size_t>(likeliest)] = 1.0f;
    return law;
  }
  const double most = logits[static_cast<size_t>(likeliest)];
  const auto weight = [&](int32_t id) {
    return std::exp((static_cast<double>(logits[static_cast<size_t>(id)]) - most) /
                    options.temperature);
  };
  const auto vocab = static_cast<int64_t>(logits.size());
  const bool by_rank = options.top_p < 1.0;
  std::vector<int32_t> ids;
  if (options.top_k > 0 && options.top_k < vocab) {
    ids = LikeliestTokens(logits, options.top_k);
  } else if (by_rank) {
    ids = LikeliestTokens(logits, vocab);
  } else {
    ids.resize(logits.size());
    std::iota(ids.begin(), ids.end(), 0);
  }
  std::vector<double> weights;
  weights.reserve(ids.size());
  double sum = 0.0;
  for (const int32_t id : ids) sum += weights.emplace_back(weight(id));
  if (by_rank) {
    double reached = 0.0;
    size_t kept = 0;
    while (kept < ids.size() && (kept == 0 || reached < options.top_p * sum))
      reached += weights[kept++];
    ids.resize(kept);
    sum = reached;
  }
  for (size_t i = 0; i < ids.size(); ++i)
    law[static_cast<size_t>(ids[i])] = static_cast<float>(weights[i] / sum);
  return law;
}

int32_t DrawToken(absl::Span<const float> law, double uniform) {
  double left = uniform * std::accumulate(law.begin(), law.end(), 0.0);
  int32_t last = 0;
  for (size_t i = 0; i < law.size(); ++i) {
    if (law[i] <= 0.0f) continue;
    last = static_cast<int32_t>(i);
    left -= law[i];
    if (left < 0.0) break;
  }
  return last;
}

std::vector<float> ResidualLaw(absl::Span<const float> p, absl::Span<const float> q) {
  TL_CHECK_EQ(p.size(), q.size());
  std::vector<float> law(p.size());
  double sum = 0.0;
  for (size_t i = 0; i < p.size(); ++i) sum += law[i] = std::max(p[i] - q[i], 0.0f);
  if (sum <= 0.0) return {p.begin(), p.end()};
  for (float& x : law) x = static_cast<float>(x / sum);
  return law;
}

double UniformFor(uint64_t seed, int64_t sequence, int64_t token_index, Randomness use) {
  const auto counter = static_cast<uint64_t>(sequence) << 8 | static_cast<uint64_t>(use);
  const PhiloxWords words = Philox(seed, static_cast<uint64_t>(token_index), counter);
  // 53 bits, the centre of a cell: a law's small probabilities are not lost.
  const uint64_t bits = (uint64_t{words.w[0]} << 32 | words.w[1]) >> 12;
  return (static_cast<double>(bits) + 0.5) * 0x1p-52;
}

}  // namespace tl
