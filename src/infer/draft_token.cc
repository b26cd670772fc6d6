// SPDX-License-Identifier: Apache-2.0
#include "infer/draft_token.h"

namespace tl {

void AddDraft(const DrafterOptions& options, const Sequence& sequence, int64_t depth,
              const LogitsRow& logits, DraftTree* chain) {
  Distribution distribution = TokenDistribution(logits, options.sampling);
  const bool reject = options.verification == Verification::kRejection;
  const int32_t token =
      DrawToken(distribution, UniformFor(options.seed, sequence.id, sequence.size() + depth,
                                         reject ? Randomness::kDraft : Randomness::kToken));
  chain->Add(token, static_cast<int>(depth) - 1);
  if (reject) chain->distributions.push_back(std::move(distribution));
}

}  // namespace tl
