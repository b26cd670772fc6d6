// SPDX-License-Identifier: Apache-2.0
// From logits to a token: the distribution a token is drawn from, and the draw.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "engine/logits.h"

namespace tl {

struct SamplingOptions {
  double temperature = 0.8;  // 0: always the likeliest token
  int64_t top_k = 0;         // among the k likeliest; 0: all
  double top_p = 1.0;        // among the likeliest that together reach this probability
};

// The distribution of a token: its probabilities, those of ids or, where these are empty, of all
// tokens.
struct Distribution {
  std::vector<float> p;
  std::vector<int32_t> ids = {};  // ascending; tokens beside them have probability 0

  size_t size() const { return p.size(); }
  int32_t id(size_t i) const { return ids.empty() ? static_cast<int32_t>(i) : ids[i]; }
  float operator[](int64_t token) const;
};

// DecodePart::likeliest for what needs the `count` likeliest tokens of `vocab`, all where there are
// no more: 0 where they are too many to be found on the device.
int64_t LikeliestOf(int64_t count, int64_t vocab);
// The same for a distribution: 0 where it needs more than a few tokens' logits.
int64_t LikeliestFor(const SamplingOptions& options, int64_t vocab);

// The distribution after temperature, top-k and top-p: softmax(logits / temperature), cut to the k
// likeliest, then to the fewest likeliest whose sum reaches top_p, and normalised. Ties go to the
// lower id. Temperature 0: all on the likeliest. logits: at least as many as LikeliestFor says.
Distribution TokenDistribution(const LogitsRow& logits, const SamplingOptions& options);

// The `count` likeliest tokens, all where there are no more, the likeliest first; ties go to the
// lower id.
std::vector<int32_t> LikeliestTokens(const LogitsRow& logits, int64_t count);

// The token at which the running sum of the distribution passes uniform (in (0, 1)) times its
// total.
int32_t DrawToken(const Distribution& distribution, double uniform);

// norm(max(p - q, 0)): what is left to draw from where a draft from q was refused (Leviathan et al.
// 2023). p itself where nothing is left.
Distribution ResidualDistribution(const Distribution& p, const Distribution& q);

// What a random number of a sequence is for; every use has numbers of its own.
enum class Randomness : uint8_t { kToken, kDraft, kAccept };

// In (0, 1): a function of the seed, the sequence, the place of the token in it, and the use alone.
// So a sequence's text does not depend on the batch it is decoded in.
double UniformFor(uint64_t seed, int64_t sequence, int64_t token_index, Randomness use);

}  // namespace tl
