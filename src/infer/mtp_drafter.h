// SPDX-License-Identifier: Apache-2.0
// Drafts by the sequential modules that the model was trained with beside its main head
// (self-speculation as in DeepSeek-V3 2024).
#pragma once

#include <vector>

#include "infer/drafter.h"

namespace tl {

// A chain: module k drafts the token k places after the last one, from the state of the module
// before it (module 1: of the trunk) at the place before the last token, and from the draft of the
// module before it (module 1: the last token). The trunk's states are those that the pass over the
// last drafts has left in the cache: no other pass of the trunk is needed.
//
// Row t of module k has looked at the tokens up to t + k. So its keys and values, and the state it
// leaves to module k + 1, stand as long as these tokens do: rows that looked at a refused draft are
// run again with the true token, rows that looked at accepted ones are kept.
class MtpDrafter : public Drafter {
 public:
  MtpDrafter(const DrafterOptions& options, LanguageModel& model);
  std::vector<DraftTree> Propose(absl::Span<const DraftRequest> requests) override;

 private:
  // What the modules have seen of the sequence in a slot, from position `start` on.
  struct Seen {
    int64_t sequence = -1;
    int64_t start = 0;
    std::vector<int32_t> tokens;  // the sequence's, then drafts
    std::vector<int64_t> rows;    // of each module's cache: how many stand
  };
  // Forgets what looked at tokens that the sequence does not have.
  void Rewind(const Sequence& sequence, Seen* seen) const;
  // Runs module k for the sequences that draft so deep: rows it lacks, and the one that drafts.
  // logits: of the latter, in the order of those sequences.
  void RunModule(int k, absl::Span<const DraftRequest* const> drafting, RowLogits* logits);
  Seen& SeenOf(const Sequence& sequence) { return seen_[static_cast<size_t>(sequence.slot)]; }

  DrafterOptions options_;
  LanguageModel& model_;
  int modules_;  // that draft
  std::vector<Seen> seen_;
};

}  // namespace tl
