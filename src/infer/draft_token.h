// SPDX-License-Identifier: Apache-2.0
// From a drafting model's logits to drafts.
#pragma once

#include "infer/drafter.h"

namespace tl {

// Adds to a chain the token `depth` places (from 0) after the sequence's last one, drawn from the
// distribution of logits. Where drafts are matched with the model's own draws, both are made with
// the same random number: equal distributions then draw equal tokens.
void AddDraft(const DrafterOptions& options, const Sequence& sequence, int64_t depth,
              const LogitsRow& logits, DraftTree* chain);

}  // namespace tl
