// From logits to a token: the law a token is drawn from, and the draw.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace tl {

struct SamplingOptions {
  double temperature = 0.8;  // 0: always the likeliest token
  int64_t top_k = 0;         // among the k likeliest; 0: all
  double top_p = 1.0;        // among the likeliest that together reach this probability
};

// The law after temperature, top-k and top-p, [vocab]: softmax(logits / temperature), cut to the k
// likeliest, then to the fewest likeliest whose sum reaches top_p, and normalised. Ties go to the
// lower id. Temperature 0: all on the likeliest.
std::vector<float> TokenLaw(absl::Span<const float> logits, const SamplingOptions& options);

// The `count` likeliest tokens, all where there are no more, the likeliest first; ties go to the
// lower id.
std::vector<int32_t> LikeliestTokens(absl::Span<const float> logits, int64_t count);

// The token at which the running sum of the law passes uniform (in (0, 1)) times its total.
int32_t DrawToken(absl::Span<const float> law, double uniform);

// norm(max(p - q, 0)): what is left to draw from where a draft from q was refused (Leviathan et al.
// 2023). p itself where nothing is left.
std::vector<float> ResidualLaw(absl::Span<const float> p, absl::Span<const float> q);

// What a random number of a sequence is for; every use has numbers of its own.
enum class Randomness : uint8_t { kToken, kDraft, kAccept };

// In (0, 1): a function of the seed, the sequence, the place of the token in it, and the use alone.
// So a sequence's text does not depend on the batch it is decoded in.
double UniformFor(uint64_t seed, int64_t sequence, int64_t token_index, Randomness use);

}  // namespace tl
