// SPDX-License-Identifier: Apache-2.0
#include "objective/objective.h"

#include <bit>

#include "objective/acceptance.h"

namespace tl {

std::unique_ptr<Stem> Objective::MakeStem() const {
  return std::make_unique<TokenStem>(context_.embedding, context_.dropout, context_.geometry);
}

void Objective::Prepare(BatchUse use, HostBatch* batch) const {
  if (use != BatchUse::kTraining) return;
  for (int head = 0, heads = head_count(); head < heads; ++head) {
    if (Distills(head)) batch->MaskBeyondInputs(head + 1);
  }
}

HeadResult Objective::Result(int head, const std::array<double, kHeadSums>& sums) const {
  return TokenHeadResult(heads()[static_cast<size_t>(head)], std::bit_cast<HeadSums>(sums),
                         /*main=*/head == 0);
}

}  // namespace tl
