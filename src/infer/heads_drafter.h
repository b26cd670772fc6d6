// SPDX-License-Identifier: Apache-2.0
// Drafts by heads that the model was trained with beside its main one.
#pragma once

#include <functional>
#include <vector>

#include "infer/drafter.h"

namespace tl {

// How many heads of the model draft from its state alone, without looking at drafts.
int HeadsThatDraft(const LanguageModel& model);

// Head k drafts the token k places after the last one, from the trunk's state before the last
// token, which the pass that gave the last token has left in the cache: no other pass of the trunk
// is needed. Heads know nothing of each other's drafts, so a chain has one draft of each head
// and a tree some of each head's likeliest tokens. Heads with a past of their own (independent
// heads are whole layers) read every token once, when it has been accepted.
class HeadsDrafter : public Drafter {
 public:
  HeadsDrafter(const DrafterOptions& options, LanguageModel& model);
  std::vector<DraftTree> Propose(absl::Span<const DraftRequest> requests) override;

 private:
  // What the heads have read of the sequence in a slot: positions [0, positions) from `start` on.
  struct Read {
    int64_t sequence = -1;
    int64_t start = 0;
    int64_t positions = 0;
  };
  // Lets the heads read what the sequences have got since they last did, and calls draft(k, logits)
  // for each head k in turn, with its logits after the last position read of each sequence.
  void ReadOn(absl::Span<const Sequence* const> sequences,
              const std::function<void(int head, const RowLogits& logits)>& draft);
  // likeliest[k - 1]: head k's tokens.
  DraftTree Tree(const DraftRequest& request,
                 const std::vector<std::vector<int32_t>>& likeliest) const;

  DrafterOptions options_;
  LanguageModel& model_;
  int heads_;  // that draft
  std::vector<Read> read_;
};

}  // namespace tl
